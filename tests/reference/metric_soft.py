"""Slow literal twins of the metrics of a picture seen through its map, and of noisy linear imputation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray


def masks(maps: Sequence[NDArray]) -> list[NDArray]:
    """The positive parts, min–max to [0, 1] over all pictures together."""
    positive = [np.maximum(m, 0) for m in maps]
    low, high = min(p.min() for p in positive), max(p.max() for p in positive)
    return [(p - low) / (high - low) for p in positive]


def through(pictures: Sequence[NDArray], fills: Sequence[NDArray], weights: Sequence[NDArray]) -> list[NDArray]:
    return [x * w[None] + f * (1 - w[None]) for x, f, w in zip(pictures, fills, weights)]


def average_drop(whole: float, masked: float) -> float:
    return max(0.0, whole - masked) / whole


def complexity(weights: Sequence[NDArray]) -> float:
    return sum(w.sum() for w in weights) / sum(w.size for w in weights)


def harmonic(parts: Sequence[float]) -> float:
    return 0.0 if min(parts) == 0 else len(parts) / sum(1 / p for p in parts)


def impute(x: NDArray, removed: NDArray) -> NDArray:
    """Every removed pixel the weighted mean of its neighbours, by one dense system, one equation at a time."""
    places = [v for v in np.ndindex(*removed.shape) if removed[v]]
    number = {v: i for i, v in enumerate(places)}
    out = x.astype(float).copy()
    left = np.zeros((len(places), len(places)))
    right = np.zeros((len(places), len(x)))
    for v, i in number.items():
        for step in product((-1, 0, 1), repeat=removed.ndim):
            w = tuple(a + b for a, b in zip(v, step))
            apart = sum(s != 0 for s in step)
            if apart == 0 or not all(0 <= c < n for c, n in zip(w, removed.shape)):
                continue
            weight = 1 / 2**apart
            left[i, i] += weight
            if w in number:
                left[i, number[w]] -= weight
            else:
                right[i] += weight * x[(slice(None), *w)]
    for v, value in zip(places, np.linalg.solve(left, right)):
        out[(slice(None), *v)] = value
    return out
