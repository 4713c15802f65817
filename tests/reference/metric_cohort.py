"""Slow literal twins of the metrics over a cohort: case by case, block by block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def block_means(m: NDArray, grid: int) -> list[float]:
    """Means over ``grid`` blocks along each axis; a block begins at ⌊i·n/g⌋ and ends before ⌈(i+1)·n/g⌉."""
    found = []
    for cell in np.ndindex(*(grid,) * m.ndim):
        cut = tuple(slice(i * n // grid, -(-(i + 1) * n // grid)) for i, n in zip(cell, m.shape))
        found.append(float(m[cut].mean()))
    return found


def consistency(maps: Sequence[Sequence[float]], predicted: Sequence[int], case: int) -> float | None:
    def label(m):
        at = max(range(len(m)), key=lambda i: (abs(m[i]), -i))
        return at, m[at] > 0

    same = [predicted[j] == predicted[case] for j in range(len(maps)) if j != case and label(maps[j]) == label(maps[case])]
    return sum(same) / len(same) if same else None


def label_sufficiency(maps: Sequence[Sequence[float]], predicted: Sequence[int], case: int, threshold: float) -> float | None:
    scaled = [[v / max(abs(w) for w in m) for v in m] for m in maps]
    n, size = len(maps), len(maps[0])
    spread = []
    for f in range(size):
        column = [m[f] for m in scaled]
        mean = sum(column) / n
        spread.append((sum((v - mean) ** 2 for v in column) / (n - 1)) ** 0.5)

    def distance(a, b):
        return sum(((a[f] - b[f]) / spread[f]) ** 2 for f in range(size) if spread[f] > 0) ** 0.5

    largest = max(distance(a, b) for a in scaled for b in scaled)
    same = [
        predicted[j] == predicted[case]
        for j in range(n) if j != case and distance(scaled[j], scaled[case]) <= threshold * largest
    ]  # fmt: skip
    return sum(same) / len(same) if same else None
