"""Statistics over cases that several parts share: patients drawn anew, intervals, ranks, Holm's correction."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

FEWEST = 5  # patients: of fewer, all may lie on one side of chance by chance (of four, once in eight times)

Array = NDArray[np.float64]


@lru_cache(maxsize=8)
def draws_of(n: int, n_boot: int, seed: int) -> NDArray[np.float64]:
    """How often each of n patients is drawn, ``(n_boot, n)``; read only."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_boot).astype(float)
    drawn.flags.writeable = False
    return drawn


def mean(values: Array) -> float:
    """The mean of what is known; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def interval(values: Array, groups: NDArray[np.int64], draws: Array) -> tuple[float, float, str]:
    """95 % percentile interval of the mean over cases, groups drawn with replacement; NaN, and why.

    Args:
        values: ``(n,)`` one per case, NaN where it is undefined.
        groups: ``(n,)`` number of the patient.
        draws: ``(n_boot, patients)`` how often each is drawn (:func:`draws_of`).
    """
    known = np.isfinite(values)
    if not known.any():
        return np.nan, np.nan, "undefined in every case"
    if len(np.unique(groups[known])) < 2:
        return np.nan, np.nan, "one patient only: no interval"
    total = np.bincount(groups[known], values[known], minlength=draws.shape[1])
    count = np.bincount(groups[known], minlength=draws.shape[1])
    drawn = draws @ count
    usable = drawn > 0
    if usable.mean() < 0.5:
        return np.nan, np.nan, "defined for too few patients: no interval"
    low, high = np.quantile((draws @ total)[usable] / drawn[usable], [0.025, 0.975])
    return float(low), float(high), ""


def wilson(k: int | float, n: int | float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share ``k / n`` of independent draws; NaN of none. Source: wilson1927probable."""
    if n <= 0:
        return float("nan"), float("nan")
    z = float(ndtri(0.975))
    share, middle = k / n, (k / n + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def holm(p: Array) -> Array:
    """Holm's step-down correction; NaN stays NaN and is not counted. Source: holm1979simple."""
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    factor = len(order) - np.arange(len(order))
    out[order] = np.minimum(np.maximum.accumulate(p[order] * factor), 1.0)
    return out


def spearman(x: Array, y: Array, weights: Array) -> Array:
    """Spearman's ρ of ``(n,)`` values drawn ``weights`` ``(draws, n)`` times each; ties share a rank."""
    a, b = _ranks(x, weights), _ranks(y, weights)
    total = weights.sum(1, keepdims=True)
    a, b = (r - (weights * r).sum(1, keepdims=True) / total for r in (a, b))
    size = np.sqrt((weights * a * a).sum(1) * (weights * b * b).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(size > 1e-12, (weights * a * b).sum(1) / size, np.nan).clip(-1, 1)


def pearson_of_sums(sums: Array) -> Array:
    """Pearson's r ``(draws,)`` from the sums ``n, Σx, Σy, Σxy, Σx², Σy²`` ``(draws, 6)``; NaN where one is constant."""
    n, x, y, xy, xx, yy = sums.T
    size = np.sqrt(np.clip(n * xx - x * x, 0, None) * np.clip(n * yy - y * y, 0, None))
    scale = np.maximum(n * np.sqrt(np.clip(xx * yy, 0, None)), 1e-300)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(size > 1e-12 * scale, (n * xy - x * y) / size, np.nan).clip(-1, 1).round(12)


def _ranks(values: Array, weights: Array) -> Array:
    """The rank of every value among those drawn, ``(draws, n)``."""
    levels, place = np.unique(values, return_inverse=True)
    drawn = weights @ (place[:, None] == np.arange(len(levels))).astype(float)
    return (np.cumsum(drawn, 1) - drawn + (drawn + 1) / 2)[:, place]
