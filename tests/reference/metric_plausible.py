"""Slow literal twins of plausibility and certainty: over all orders of ties, all thresholds, all pairs of pixels."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
from numpy.typing import NDArray


def hits_over_orders(support: NDArray, mask: NDArray, k: int) -> list[int]:
    """Pixels of the mask among the k first, for every order of the pixels in which no value rises (few pixels only)."""
    values, inside = support.ravel(), mask.ravel()
    found = []
    for order in permutations(range(len(values))):
        if all(values[p] >= values[q] for p, q in pairwise(order)):
            found.append(sum(bool(inside[p]) for p in order[:k]))
    return found


def best_overlap(support: NDArray, mask: NDArray) -> tuple[float, float]:
    """The best intersection over union and the best Dice, over every positive value as a threshold."""
    iou, dice = 0.0, 0.0
    for t in set(support.flat):
        if t > 0:
            on = support >= t
            iou = max(iou, (on & mask).sum() / (on | mask).sum())
            dice = max(dice, 2 * (on & mask).sum() / (on.sum() + mask.sum()))
    return iou, dice


def pairs(support: NDArray, mask: NDArray) -> float:
    """The share of (inside, outside) pairs in which the inside one is higher; half where they tie."""
    won = [float(a > b) + 0.5 * (a == b) for a in support[mask] for b in support[~mask]]
    return sum(won) / len(won)


def heat_ratio(support: NDArray, mask: NDArray, floor: float) -> float:
    """Each pixel from the floor up sets a threshold once; the mean of the region's share above it."""
    shares = []
    for t in support.flat:
        if t > 0 and t >= floor * support.max():
            on = support >= t
            shares.append((on & mask).sum() / on.sum())
    return sum(shares) / len(shares)


def hit_within_mm(support: NDArray, mask: NDArray, spacing: tuple[float, ...], tolerance: float) -> float:
    """The share of the maxima with a pixel of the mask within the tolerance, in millimetres."""
    best = [v for v in np.ndindex(*support.shape) if support[v] == support.max()]
    inside = [v for v in np.ndindex(*mask.shape) if mask[v]]
    away = lambda v, w: sum(((p - q) * s) ** 2 for p, q, s in zip(v, w, spacing)) ** 0.5  # noqa: E731
    return sum(min(away(v, w) for w in inside) <= tolerance for v in best) / len(best)


def most_salient(support: NDArray, top: float) -> NDArray:
    """Strictly above the percentile over the whole picture (that of SegX)."""
    return support > np.percentile(support, 100 * (1 - top))


def certainty(support: NDArray, mask: NDArray, top: float) -> dict[str, float]:
    """The four forms of SegU's certainty, pixel by pixel (no ties at the last place of the matched form)."""
    on = most_salient(support, top)
    order = sorted(np.ndindex(*support.shape), key=lambda v: -support[v])
    matched = np.zeros(mask.shape, bool)
    for v in order[: int(mask.sum())]:
        matched[v] = True
    both = sum(on[v] and mask[v] for v in np.ndindex(*mask.shape))
    either = sum(on[v] or mask[v] for v in np.ndindex(*mask.shape))
    return {
        "segu": both / either,
        "segu_matched": (matched & mask).sum() / (matched | mask).sum(),
        "hit_rate": both / on.sum(),
        "mass_in_mask": sum(support[v] for v in np.ndindex(*mask.shape) if mask[v]) / support.sum(),
    }


def iou_at_thresholds(support: NDArray, mask: NDArray, thresholds: list[float]) -> list[float]:
    """Intersection over union at each threshold of the min–max map."""
    scaled = (support - support.min()) / (support.max() - support.min())
    return [((scaled >= t) & mask).sum() / ((scaled >= t) | mask).sum() for t in thresholds]


def tuned(curves: dict[str, list[float]], patients: dict[str, str], fold: dict[str, int]) -> dict[str, tuple[int, float]]:
    """For each case the threshold's place that is best on average over the cases of other folds, and its value there."""
    found = {}
    for case, own in curves.items():
        others = [c for c in curves if fold[patients[c]] != fold[patients[case]]]
        means = [sum(curves[c][i] for c in others) / len(others) for i in range(len(own))]
        best = means.index(max(means))
        found[case] = (best, own[best])
    return found
