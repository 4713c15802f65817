"""Krippendorff's alpha for ordinal ratings, from coincidences, so that thousands of draws cost one multiplication."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def coincidences(ratings: Array, levels: tuple[int, ...]) -> Array:
    """How often two readers gave a unit the values ``c`` and ``k``, ``(units, levels, levels)``.

    Args:
        ratings: ``(readers, units)``, NaN where a reader gave none; a unit with fewer than two ratings counts nothing.
        levels: the values that there are, in order.
    """
    counts = np.stack([(ratings == v).sum(0) for v in levels], -1).astype(float)
    total = counts.sum(-1)
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, range(len(levels)), range(len(levels))] -= counts
    return pairs / np.where(total > 1, total - 1, np.inf)[:, None, None]


def alpha(found: Array) -> Array:
    """Alpha from the sum of coincidences, ``(…, levels, levels)`` to ``(…)``; NaN where all values are the same.

    The distance of two values is the number of ratings between them, their own counted half, squared. 1: the readers
    agree in everything; 0: as by chance; below: less. Source: krippendorff2011computing.
    """
    each = found.sum(-1)
    total = each.sum(-1)
    below = np.cumsum(each, -1) - each / 2  # ratings below a value, its own counted half
    distance = (below[..., :, None] - below[..., None, :]) ** 2
    seen = (found * distance).sum((-2, -1))
    chance = (each[..., :, None] * each[..., None, :] * distance).sum((-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance > 0, 1 - (total - 1) * seen / chance, np.nan)
