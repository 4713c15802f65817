"""Intraclass correlation of ratings, two-way random effects, absolute agreement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def icc(ratings: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """ICC(2,1), of one reader's rating, and ICC(2,k), of the mean of these k readers' ratings.

    With ``MS`` the mean squares between targets (B), between readers (J) and of the rest (E)::

        ICC(2,1) = (MSB − MSE) / (MSB + (k − 1) MSE + k (MSJ − MSE) / n)
        ICC(2,k) = (MSB − MSE) / (MSB + (MSJ − MSE) / n)

    Args:
        ratings: ``(n, k)``, complete: n targets, k readers.
        weights: ``(…, n)`` how often each target is drawn; once each by default.

    Returns:
        Both, ``(…)``; NaN with fewer than two targets or readers, or where nothing varies.

    Source: shrout1979intraclass.
    """
    w = np.ones(len(ratings)) if weights is None else weights
    n, k = w.sum(-1), ratings.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        readers = w @ ratings / n[..., None]
        grand = readers.mean(-1)
        between = k * (w * (ratings.mean(1) - grand[..., None]) ** 2).sum(-1)
        judges = n * ((readers - grand[..., None]) ** 2).sum(-1)
        total = (w * ((ratings - grand[..., None, None]) ** 2).sum(-1)).sum(-1)
        b, j = between / (n - 1), judges / np.float64(k - 1)
        e = (total - between - judges) / ((n - 1) * np.float64(k - 1))
        e = np.where(np.abs(e) < 1e-12 * np.maximum(total, 1), 0.0, e)  # what rounding leaves of nothing
        found = []
        for below in (b + (k - 1) * e + k * (j - e) / n, b + (j - e) / n):
            fine = (below > 1e-12) & (n > 1) & (k > 1)
            found.append(np.where(fine, (b - e) / np.where(fine, below, 1.0), np.nan))
    return found[0], found[1]
