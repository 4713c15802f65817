"""Means over cases and their 95 % intervals with patients drawn, paired differences and their test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, wilcoxon

from pellucid.evaluate.cohort.blocks import ROUNDING

FEWEST = 5  # patients: of fewer, all may lie on one side of chance by chance (of four, once in eight times)
MOST_FLIPPED = 13  # patients: of more, with ties, the normal approximation is used, as in SciPy

Array = NDArray[np.float64]


def mean(values: Array) -> float:
    """The mean of what is known; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def gap(a: Array, b: Array) -> Array:
    """``a − b``; 0 where they are the same but for rounding, of whose sign a test by ranks would make much."""
    return np.where(np.isclose(a, b, rtol=ROUNDING, atol=0), 0.0, a - b)


def interval(values: Array, groups: NDArray[np.int64], draws: Array) -> tuple[float, float, str]:
    """95 % percentile interval of the mean over cases, groups drawn with replacement; NaN, and why.

    Args:
        values: ``(n,)`` one per case, NaN where it is undefined.
        groups: ``(n,)`` number of the patient.
        draws: ``(n_boot, patients)`` how often each is drawn (:func:`~pellucid.evaluate.cohort.blocks.draws_of`).
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


def signed_rank(differences: Array, groups: NDArray[np.int64]) -> float:
    """Two-sided Wilcoxon signed-rank p of the mean difference of each patient; NaN with one patient."""
    known = np.isfinite(differences)
    ids = groups[known]
    if len(np.unique(ids)) < 2:
        return float("nan")
    per_group = np.bincount(ids, differences[known])[np.unique(ids)] / np.bincount(ids)[np.unique(ids)]
    if not per_group.any():
        return 1.0
    sizes = np.unique(np.abs(per_group))
    if len(per_group) <= MOST_FLIPPED and (len(sizes) < len(per_group) or sizes[0] == 0):
        return _flipped(per_group[per_group != 0])
    return float(wilcoxon(per_group).pvalue)


def _flipped(values: Array) -> float:
    """Exact two-sided p of the sum of the positive ranks over all signs that ``values`` could have, ties and all.

    The same number as SciPy's, which tries every one of the signs; here their sums are counted.
    """
    twice = np.rint(2 * rankdata(np.abs(values))).astype(int)  # ranks of ties are halves
    ways = np.zeros(twice.sum() + 1)
    ways[0] = 1.0
    for rank in twice:
        ways[rank:] = ways[rank:] + ways[: len(ways) - rank]
    seen = int(twice[values > 0].sum())
    return float(min(1.0, 2 * min(ways[: seen + 1].sum(), ways[seen:].sum()) / ways.sum()))


def holm(p: Array) -> Array:
    """Holm's step-down correction; NaN stays NaN and is not counted. Source: holm1979simple."""
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    factor = len(order) - np.arange(len(order))
    out[order] = np.minimum(np.maximum.accumulate(p[order] * factor), 1.0)
    return out
