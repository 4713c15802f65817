"""Slow literal twins of the metrics of stability, value by value."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray


def norm(values: Sequence[float]) -> float:
    return sum(float(v) ** 2 for v in values) ** 0.5


def avg_sensitivity(clean: NDArray, others: Sequence[NDArray]) -> float:
    return sum(norm(o - clean) for o in others) / len(others) / norm(clean)


def lipschitz(clean: NDArray, others: Sequence[NDArray], distances: Sequence[float]) -> float:
    return max(norm(o - clean) / norm(clean) / d for o, d in zip(others, distances))


def relative(new: NDArray, old: NDArray, floor: float) -> list[float]:
    top = max(abs(v) for v in old.flat)
    found = []
    for a, b in zip(new.flat, old.flat):
        size = max(abs(b), floor * top)
        found.append((a - b) / (-size if b < 0 else size))
    return found


def relative_stability(
    clean: NDArray, others: Sequence[NDArray], changes: Sequence[float], kept: Sequence[bool], floor: float
) -> float:
    return max(norm(relative(o, clean, floor)) / max(c, 1e-6) for o, c, k in zip(others, changes, kept) if k)


def continuity(clean: NDArray, others: Sequence[NDArray], distances: Sequence[float]) -> float:
    return max(sum(abs(o - clean)) / sum(abs(clean)) / d for o, d in zip(others, distances))


def shift(x: NDArray, fill: NDArray, by: int, axis: int) -> NDArray:
    """Pixel by pixel: what was ``by`` places before, or the fill."""
    out = fill.copy()
    for voxel in np.ndindex(*x.shape):
        source = list(voxel)
        source[axis] -= by
        if 0 <= source[axis] < x.shape[axis]:
            out[voxel] = x[tuple(source)]
    return out


def ssim(a: NDArray, b: NDArray, side: int, span: float) -> float:
    """Structural similarity, window by window."""
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    found = []
    for corner in product(*(range(n - side + 1) for n in a.shape)):
        window = tuple(slice(c, c + side) for c in corner)
        x, y = a[window].ravel(), b[window].ravel()
        mx, my = x.mean(), y.mean()
        vx, vy, cov = x.var(ddof=1), y.var(ddof=1), ((x - mx) * (y - my)).sum() / (len(x) - 1)
        found.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return sum(found) / len(found)
