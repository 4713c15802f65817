"""Slow literal twins of the metrics that take parts of the pictures away: one copy at a time, one pixel at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Pictures = list[NDArray]
Answer = Callable[[Pictures], float]
Pixel = tuple[int, tuple[int, ...]]  # which picture, and where in it


def pixels(pictures: Pictures) -> list[Pixel]:
    """All pixels of all pictures ``(C, *spatial)``, picture by picture."""
    return [(i, voxel) for i, p in enumerate(pictures) for voxel in np.ndindex(*p.shape[1:])]


def without(pictures: Pictures, fills: Pictures, part: Sequence[Pixel]) -> Pictures:
    shown = [p.copy() for p in pictures]
    for i, voxel in part:
        for c in range(shown[i].shape[0]):
            shown[i][(c, *voxel)] = fills[i][(c, *voxel)]
    return shown


def drops(f: Answer, pictures: Pictures, fills: Pictures, parts: Sequence[Sequence[Pixel]]) -> list[float]:
    return [f(pictures) - f(without(pictures, fills, part)) for part in parts]


def sums(maps: Pictures, parts: Sequence[Sequence[Pixel]]) -> list[float]:
    """Maps are ``(*spatial)``."""
    return [sum(float(maps[i][voxel]) for i, voxel in part) for part in parts]


def pearson(a: Sequence[float], b: Sequence[float]) -> float:
    n, ma, mb = len(a), sum(a) / len(a), sum(b) / len(b)
    cov = sum((p - ma) * (q - mb) for p, q in zip(a, b)) / n
    return cov / (sum((p - ma) ** 2 for p in a) / n * (sum((q - mb) ** 2 for q in b) / n)) ** 0.5


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    def rank(v: Sequence[float]) -> list[float]:
        return [sum(w < x for w in v) + (sum(w == x for w in v) + 1) / 2 for x in v]

    return pearson(rank(a), rank(b))


def infidelity(said: Sequence[float], happened: Sequence[float]) -> float:
    return sum((s - h) ** 2 for s, h in zip(said, happened)) / len(said)


def least_infidelity(said: Sequence[float], happened: Sequence[float]) -> float:
    """Over a fine grid of factors around the regression through the origin."""
    middle = sum(s * h for s, h in zip(said, happened)) / sum(s * s for s in said)
    return min(infidelity([b * s for s in said], happened) for b in np.linspace(0, 2 * middle, 4001))


def disagreement(sizes: Sequence[float], changes: Sequence[float], eps: float) -> float:
    silent = [s <= eps * max(sizes) for s in sizes]
    idle = [abs(c) <= eps * max(abs(v) for v in changes) for c in changes]
    return sum(p != q for p, q in zip(silent, idle)) / len(sizes)
