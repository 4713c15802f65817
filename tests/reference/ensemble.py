"""Ensembles of maps in loops, over single pixels and blocks, as section 5 of the algorithms writes them down."""

from __future__ import annotations

from itertools import product

import numpy as np


def blocks_of(m, side):
    """Block index to the mean of its pixels; ``m`` is (*spatial)."""
    found = {}
    for at in product(*(range(n) for n in m.shape)):
        found.setdefault(tuple(i // side for i in at), []).append(float(m[at]))
    return {k: sum(v) / len(v) for k, v in found.items()}


def unit(values):
    """Min–max of a dictionary of numbers; all 0 if they are the same."""
    low, high = min(values.values()), max(values.values())
    return {k: (v - low) / (high - low) if high > low else 0.0 for k, v in values.items()}


def place_of(v, others):
    """Mean rank from 0, ties sharing theirs."""
    below = sum(o < v for o in others)
    same = sum(o == v for o in others)
    return below + (same - 1) / 2


def ensemble(maps, combine, t=0.5, side=7, weights=None):
    """``maps`` (*spatial) arrays of one picture, none constant; the ensemble and the votes, (*spatial)."""
    n = len(maps)
    taken = [unit(blocks_of(np.maximum(np.asarray(m, float), 0), side)) for m in maps]
    total = len(taken[0])
    if combine == "rank":
        taken = [{k: place_of(v, m.values()) / (total - 1) for k, v in m.items()} for m in taken]
    if combine == "borda":
        taken = [{k: sum(o < v for o in m.values()) / (total - 1) for k, v in m.items()} for m in taken]
    made, votes = {}, {}
    for k in taken[0]:
        values = [m[k] for m in taken]
        if combine == "threshold":
            yes = [v for v in values if v >= t]
            made[k] = sum(yes) / n if len(yes) >= n - 1 else 0.0
        elif combine == "average":
            yes = [v for v in values if v > 0]
            made[k] = sum(values) / n if len(yes) >= n / 2 else 0.0
            if made[k] <= 0.5:
                made[k] = 0.0
        elif combine == "intersection":
            yes = [v for v in values if v > 0.2]
            made[k] = sum(values) / n if len(yes) == n else 0.0
        else:
            yes = [v for v in values if v >= t]
            w = weights if combine == "weighted" else [1.0] * n
            made[k] = sum(a * v for a, v in zip(w, values)) / sum(w)
        votes[k] = len(yes)
    made = unit(made)
    out, voted = np.zeros(maps[0].shape), np.zeros(maps[0].shape, int)
    for at in product(*(range(n) for n in maps[0].shape)):
        k = tuple(i // side for i in at)
        out[at], voted[at] = made[k], votes[k]
    return out, voted
