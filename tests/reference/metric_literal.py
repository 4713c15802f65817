"""Slow literal twins of the metrics: one pixel set at a time, straight from the formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray


def curve(
    f: Callable[[Sequence[NDArray]], float], pictures: Sequence[NDArray], fills: Sequence[NDArray],
    maps: Sequence[NDArray], steps: int, tie_break: NDArray, *, insertion: bool,
) -> tuple[list[float], list[float]]:  # fmt: skip
    """Fractions and scores. Pictures and fills are ``(C, *spatial)``, maps ``(*spatial)``."""
    pixels = [(i, voxel) for i, m in enumerate(maps) for voxel in np.ndindex(*m.shape)]
    place = {int(p): at for at, p in enumerate(tie_break)}
    order = sorted(range(len(pixels)), key=lambda j: (-maps[pixels[j][0]][pixels[j][1]], place[j]))
    fractions, scores = [], []
    for t in range(steps + 1):
        k = round(t * len(pixels) / steps)
        shown = [(f0 if insertion else p).copy() for p, f0 in zip(pictures, fills)]
        for j in order[:k]:
            i, voxel = pixels[j]
            for c in range(pictures[i].shape[0]):
                shown[i][(c, *voxel)] = (pictures if insertion else fills)[i][(c, *voxel)]
        fractions.append(k / len(pixels))
        scores.append(f(shown))
    return fractions, scores


def trapezoid(x: Sequence[float], y: Sequence[float]) -> float:
    return sum((x[i + 1] - x[i]) * (y[i] + y[i + 1]) / 2 for i in range(len(x) - 1))


def aopc(deletion: Sequence[float]) -> float:
    return sum(deletion[0] - value for value in deletion) / len(deletion)


def overlap(support: NDArray, mask: NDArray, at: float) -> tuple[float, float]:
    """Dice and intersection over union, counted pixel by pixel."""
    top = max(support.flat)
    both = either = size = 0
    for value, inside in zip(support.flat, mask.flat):
        on = value >= at * top
        both += on and inside
        either += on or inside
        size += int(on) + int(inside)
    return 2 * both / size, both / either


def pointing(support: NDArray, mask: NDArray, tolerance: float) -> float:
    """The share of the maxima that have a pixel of the mask within the tolerance."""
    best = [v for v in np.ndindex(*support.shape) if support[v] == support.max()]
    inside = [v for v in np.ndindex(*mask.shape) if mask[v]]
    hits = sum(min(np.hypot.reduce(np.subtract(v, w)) for w in inside) <= tolerance for v in best)
    return hits / len(best)


def mass(support: NDArray, mask: NDArray) -> float:
    return sum(v for v, m in zip(support.flat, mask.flat) if m) / sum(support.flat)


def average_precision(support: NDArray, mask: NDArray) -> float:
    """At every distinct value a threshold: the gain in recall times the precision."""
    total, last = 0.0, 0.0
    for threshold in sorted(set(support.flat), reverse=True):
        on = support >= threshold
        recall, precision = (on & mask).sum() / mask.sum(), (on & mask).sum() / on.sum()
        total += (recall - last) * precision
        last = recall
    return total


def gini(values: Sequence[float]) -> float:
    """Half the mean absolute difference of all pairs, over the mean."""
    a = [abs(v) for v in values]
    return sum(abs(p - q) for p in a for q in a) / (2 * len(a) ** 2 * (sum(a) / len(a)))


def max_sensitivity(clean: NDArray, others: Sequence[NDArray]) -> float:
    return max(sum((o - c) ** 2 for o, c in zip(x, clean)) ** 0.5 for x in others) / sum(c * c for c in clean) ** 0.5


def shapley(value: Callable[[frozenset[int]], float], n: int) -> list[float]:
    """The mean gain over all orders of arrival."""
    gains = [0.0] * n
    orders = list(permutations(range(n)))
    for order in orders:
        here: frozenset[int] = frozenset()
        for i in order:
            gains[i] += (value(here | {i}) - value(here)) / len(orders)
            here |= {i}
    return gains


def region_sums(maps: Sequence[NDArray], mask: NDArray) -> dict[str, float]:
    """Mass, mean and enrichment of |A| and of its positive part, voxel by voxel."""
    inside, total = [0.0, 0.0], [0.0, 0.0]
    size = volume = 0
    for voxel in np.ndindex(*mask.shape):
        volume += 1
        size += bool(mask[voxel])
        for m in maps:
            for part, value in enumerate((abs(m[voxel]), max(m[voxel], 0.0))):
                total[part] += value
                inside[part] += value * bool(mask[voxel])
    found = {}
    for part, prefix in enumerate(("", "positive_")):
        found[f"{prefix}mass"] = inside[part] / total[part]
        found[f"{prefix}mean"] = inside[part] / size
        found[f"{prefix}enrichment"] = (inside[part] / total[part]) / (size / volume)
    return found
