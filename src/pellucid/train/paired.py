"""Are two trainings that were cross-validated on the same folds equally good?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pellucid.errors import UsageError
from pellucid.evaluate.cohort.intervals import gap, signed_rank


@dataclass(frozen=True)
class Paired:
    """A comparison of two trainings over the folds.

    Attributes:
        difference: mean of the first minus the second.
        sd: of the differences (of a sample).
        folds: in which both are defined.
        t: of the paired t-test.
        p: of the same, two-sided. It takes the folds as independent, which they are not: too small.
        corrected_t: of Nadeau and Bengio's corrected resampled t-test.
        corrected_p: of the same; the one to quote.
        low: of the 95 % interval of the difference, by the corrected test.
        high: of the same.
        wilcoxon_p: of Wilcoxon's signed-rank test over the folds, exact, two-sided. Of k folds it is 2 / 2ᵏ at least:
            0.0625 of five.
    """

    difference: float
    sd: float
    folds: int
    t: float
    p: float
    corrected_t: float
    corrected_p: float
    low: float
    high: float
    wilcoxon_p: float


@dataclass(frozen=True)
class Spread:
    """One training over the folds.

    Attributes:
        mean: over the folds where it is defined.
        sd: of the same (of a sample); NaN of fewer than 2 folds.
        low: of the 95 % interval of the mean; NaN of fewer than 2 folds.
        high: of the same.
        folds: in which it is defined.
    """

    mean: float
    sd: float
    low: float
    high: float
    folds: int


def spread_of_folds(values: Sequence[float], *, ratio: float) -> Spread:
    """The mean over folds with an interval that takes into account that training sets overlap.

    The interval is Student's, with ``(1/k + ratio) · s²`` for the variance of the mean (Nadeau and Bengio); it is
    symmetric and can go beyond the range of the metric.

    Args:
        values: by fold; NaN where undefined, which leaves the fold out.
        ratio: validation cases over training cases of a fold.

    Source: nadeau2003inference

    Example:
        >>> found = spread_of_folds([0.8, 0.7, 0.9], ratio=1 / 2)
        >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
        (0.8, 0.407, 1.193)
    """
    v = np.asarray(values, float)
    v = v[np.isfinite(v)]
    k, nan = len(v), float("nan")
    if k < 2:
        return Spread(float(v[0]) if k else nan, nan, nan, nan, k)
    mean, sd = float(v.mean()), float(v.std(ddof=1))
    half = float(stats.t.ppf(0.975, k - 1)) * float(np.sqrt(1 / k + ratio)) * sd
    return Spread(mean, sd, mean - half, mean + half, k)


def compare_folds(first: Sequence[float], second: Sequence[float], *, ratio: float) -> Paired:
    """The paired t-test over folds, the corrected one, and Wilcoxon's.

    The training sets of two folds share most of their cases, so that the differences are correlated and their variance
    over k underestimates that of their mean. The corrected test takes ``(1/k + ratio) · s²`` for it, with the same
    k − 1 degrees of freedom. Where all differences are equal, t is infinite, or NaN if they are 0, as scipy has it.

    Args:
        first: the metric of one training, by fold; NaN where it is undefined, which leaves the fold out.
        second: of the other, on the same folds in the same order.
        ratio: validation cases over training cases of a fold: ``1 / (k − 1)`` for k folds of one size.

    Raises:
        UsageError: not the same number of folds, fewer than 2 that are defined in both, or a ratio that is none.

    Source: nadeau2003inference, wilcoxon1945individual

    Example:
        >>> found = compare_folds([0.81, 0.78, 0.85], [0.78, 0.77, 0.80], ratio=1 / 2)
        >>> round(found.p, 3), round(found.corrected_p, 3)
        (0.122, 0.242)
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.shape != b.shape or a.ndim != 1:
        raise UsageError(f"compare_folds: {a.size} and {b.size} folds; give one number per fold of each training")
    if not (np.isfinite(ratio) and ratio > 0):
        raise UsageError(f"compare_folds: ratio is {ratio}; give validation cases over training cases, such as 1 / 9")
    both = np.isfinite(a) & np.isfinite(b)
    d = (a - b)[both]
    k = len(d)
    if k < 2:
        raise UsageError(f"compare_folds: {k} folds are defined in both trainings; at least 2 are needed")
    mean, variance = float(d.mean()), float(d.var(ddof=1))
    # Rounding leaves equal differences a spread of some 1e-17, from which a t of 1e15 would come.
    if variance <= (8 * np.finfo(float).eps * float(np.abs(np.r_[a[both], b[both]]).max())) ** 2:
        variance = 0.0
    plain, wide = np.sqrt(variance / k), np.sqrt((1 / k + ratio) * variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        t, corrected = np.float64(mean) / plain, np.float64(mean) / wide
    half = float(stats.t.ppf(0.975, k - 1)) * float(wide)
    return Paired(
        mean, float(np.sqrt(variance)), k, float(t), _p(t, k), float(corrected), _p(corrected, k), mean - half,
        mean + half, signed_rank(gap(a[both], b[both]), np.arange(k)),
    )  # fmt: skip


def _p(t: float, k: int) -> float:
    return float(2 * stats.t.sf(abs(t), k - 1))
