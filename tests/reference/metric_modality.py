"""Metrics of modalities, written out: loops over orders and pixels, no tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations

import numpy as np


def shapley(names: Sequence[str], value: Callable[[frozenset[str]], float]) -> dict[str, float]:
    """The mean gain of each input over all orders in which the inputs can come."""
    found = dict.fromkeys(names, 0.0)
    orders = list(permutations(names))
    for order in orders:
        there: frozenset[str] = frozenset()
        for name in order:
            found[name] += (value(there | {name}) - value(there)) / len(orders)
            there = there | {name}
    return found


def msfi(maps: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], worth: Mapping[str, float]) -> float:
    """Per picture the positive evidence inside and in all, pixel by pixel; then the weighted mean."""
    above = below = 0.0
    for name, a in maps.items():
        inside = whole = 0.0
        for place in np.ndindex(a.shape):
            if a[place] > 0:
                whole += a[place]
                inside += a[place] if masks[name][place] else 0.0
        weight = worth[name] if worth[name] > 0 else 0.0
        above += weight * (inside / whole if whole else 0.0)
        below += weight
    return above / below


def agreement(of_map: Mapping[str, float], of_model: Mapping[str, float]) -> float:
    """How much of the two divisions is the same: the sum of the smaller shares."""
    a, m = (sum(abs(v) for v in d.values()) for d in (of_map, of_model))
    return sum(min(abs(of_map[name]) / a, abs(of_model[name]) / m) for name in of_map)
