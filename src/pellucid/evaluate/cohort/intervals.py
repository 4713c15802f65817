"""Paired differences of means over cases and their test by ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, wilcoxon

from pellucid.core.statistics import Array
from pellucid.evaluate.cohort.blocks import ROUNDING

MOST_FLIPPED = 13  # patients: of more, with ties, the normal approximation is used, as in SciPy


def gap(a: Array, b: Array) -> Array:
    """``a − b``; 0 where they are the same but for rounding, of whose sign a test by ranks would make much."""
    return np.where(np.isclose(a, b, rtol=ROUNDING, atol=0), 0.0, a - b)


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
