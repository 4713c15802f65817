"""Weighted kappa of two readings of the same maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def kappa(first: Array, second: Array, levels: tuple[int, ...], weights: Array | None = None) -> Array:
    """Cohen's kappa with quadratic weights, ``(…)``; NaN where both readings are one value throughout.

    Args:
        first: ``(n,)`` ratings.
        second: ``(n,)``, of the same maps again.
        levels: the values that there are.
        weights: ``(…, n)`` how often each map is drawn; once each by default.

    Source: cohen1968weighted.
    """
    w = np.ones(len(first)) if weights is None else weights
    values = np.asarray(levels, float)
    a, b = ((x[:, None] == values).astype(float) for x in (first, second))
    seen = w @ ((first - second) ** 2)
    rows, columns, n = w @ a, w @ b, w.sum(-1)
    distance = (values[:, None] - values) ** 2
    chance = ((rows @ distance) * columns).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance > 0, 1 - n * seen / chance, np.nan)
