"""Slow literal twins of the metrics that read ranked curves: one part of the picture at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def order(maps: Sequence[NDArray], labels: Sequence[NDArray]) -> list[int]:
    """The parts by the mean of the map over them, largest first."""
    members: dict[int, list[float]] = {}
    for m, lab in zip(maps, labels):
        for value, part in zip(m.flat, lab.flat):
            members.setdefault(int(part), []).append(float(value))
    return sorted(members, key=lambda part: -sum(members[part]) / len(members[part]))


def answers(
    f: Callable[[Sequence[NDArray]], float], pictures: Sequence[NDArray], fills: Sequence[NDArray],
    labels: Sequence[NDArray], removed: Sequence[int],
) -> float:  # fmt: skip
    """The model's answer without some parts."""
    shown = []
    for picture, fill, lab in zip(pictures, fills, labels):
        x = picture.copy()
        for voxel in np.ndindex(*lab.shape):
            if lab[voxel] in removed:
                x[(slice(None), *voxel)] = fill[(slice(None), *voxel)]
        shown.append(x)
    return f(shown)


def removal(
    f: Callable[[Sequence[NDArray]], float], pictures: Sequence[NDArray], fills: Sequence[NDArray],
    maps: Sequence[NDArray], labels: Sequence[NDArray], *, least_first: bool = False,
) -> list[float]:  # fmt: skip
    """Answers as one part after another is taken away, from the whole picture to the fill."""
    ranked = order(maps, labels)
    if least_first:
        ranked = ranked[::-1]
    return [answers(f, pictures, fills, labels, ranked[:k]) for k in range(len(ranked) + 1)]


def area(values: Sequence[float]) -> float:
    """Trapezoids over equal steps from 0 to 1."""
    n = len(values) - 1
    return sum((values[k] + values[k + 1]) / 2 for k in range(n)) / n


def comprehensiveness(values: Sequence[float], bins: Sequence[float]) -> float:
    n = len(values) - 1
    return sum(values[0] - values[round(q * n)] for q in bins) / len(bins)


def sufficiency(values: Sequence[float], least: Sequence[float], bins: Sequence[float]) -> float:
    """``least``: answers with the least relevant taken away first; the top q alone are left at step (1 − q) n."""
    n = len(values) - 1
    return sum(values[0] - least[n - round(q * n)] for q in bins) / len(bins)


def irof(values: Sequence[float]) -> float:
    return 1 - area([v / values[0] for v in values])


def monotonicity(values: Sequence[float]) -> float:
    """``values``: answers as the most relevant are taken away; read backwards they build the picture up."""
    built = values[::-1]
    return sum(b >= a - 1e-6 for a, b in pairwise(built)) / (len(built) - 1)
