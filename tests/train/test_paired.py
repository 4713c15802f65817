"""Two trainings over the same folds: scipy is the oracle of the plain test, sums written out that of the corrected one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pellucid.errors import UsageError
from pellucid.train import compare_folds, spread_of_folds


def literal(a: list[float], b: list[float], ratio: float) -> tuple[float, float]:
    """Nadeau and Bengio's corrected resampled t-test, sum by sum; p by integrating Student's density."""
    k = len(a)
    mean = sum(x - y for x, y in zip(a, b)) / k
    square = sum((x - y - mean) ** 2 for x, y in zip(a, b)) / (k - 1)
    t = mean / math.sqrt((1 / k + ratio) * square)
    n = k - 1
    x = np.linspace(-abs(t), abs(t), 200_001)
    constant = math.gamma((n + 1) / 2) / (math.sqrt(n * math.pi) * math.gamma(n / 2))
    return t, 1 - float(np.trapezoid(constant * (1 + x * x / n) ** (-(n + 1) / 2), x))


@pytest.mark.parametrize("k", [2, 5, 10])
def test_both_tests_equal_their_oracles(k):
    rng = np.random.default_rng(k)
    a, b = rng.normal(0.8, 0.05, k).tolist(), rng.normal(0.78, 0.05, k).tolist()
    found = compare_folds(a, b, ratio=1 / 9)
    plain = stats.ttest_rel(a, b)
    assert found.t == pytest.approx(plain.statistic, rel=1e-12)
    assert found.p == pytest.approx(plain.pvalue, rel=1e-10)
    t, p = literal(a, b, 1 / 9)
    assert found.corrected_t == pytest.approx(t, rel=1e-12)
    assert found.corrected_p == pytest.approx(p, abs=1e-7)
    assert found.corrected_p > found.p
    assert (found.folds, found.difference) == (k, pytest.approx(np.mean(a) - np.mean(b)))
    interval = stats.t.interval(0.95, k - 1, loc=found.difference, scale=found.difference / found.corrected_t)
    assert sorted((found.low, found.high)) == pytest.approx(sorted(interval))


def test_without_overlap_the_corrected_test_is_the_plain_one():
    a, b = [0.81, 0.78, 0.85], [0.78, 0.77, 0.80]
    found = compare_folds(a, b, ratio=1e-12)
    assert found.corrected_p == pytest.approx(found.p, rel=1e-9)


def test_the_plain_test_calls_too_many_differences_real_and_the_corrected_does_not():
    """Two useless rules, told apart by chance alone: a nearest mean in random features and the same in others."""
    rng = np.random.default_rng(0)
    plain, corrected, trials = 0, 0, 300
    for _ in range(trials):
        x, y = rng.standard_normal((60, 20)), rng.integers(0, 2, 60)
        order, scores = rng.permutation(60), []
        for half in (slice(0, 10), slice(10, 20)):
            folds = []
            for held in np.array_split(order, 10):
                rest = np.setdiff1d(order, held)
                means = [x[rest][y[rest] == c][:, half].mean(0) for c in (0, 1)]
                away = [((x[held][:, half] - m) ** 2).sum(1) for m in means]
                folds.append(float(np.mean((away[1] < away[0]) == y[held])))
            scores.append(folds)
        if np.ptp(np.subtract(*scores)) == 0:
            continue
        found = compare_folds(*scores, ratio=1 / 9)
        plain, corrected = plain + (found.p < 0.05), corrected + (found.corrected_p < 0.05)
    assert corrected < plain
    assert corrected / trials <= 0.06


def test_what_is_undefined():
    found = compare_folds([0.5, math.nan, 0.7, 0.6], [0.4, 0.5, 0.5, math.nan], ratio=0.5)
    assert found.folds == 2
    same = compare_folds([0.5, 0.6, 0.7], [0.5, 0.6, 0.7], ratio=0.5)
    assert math.isnan(same.t)
    assert math.isnan(same.p)
    shifted = compare_folds([0.5, 0.6, 0.7], [0.4, 0.5, 0.6], ratio=0.5)
    assert shifted.t == math.inf
    assert shifted.p == 0
    assert (shifted.low, shifted.high) == pytest.approx((0.1, 0.1))
    for a, b, ratio, sentence in (
        ([0.5, 0.6], [0.5], 0.1, "2 and 1 folds"), ([0.5, 0.6], [0.5, math.nan], 0.1, "1 folds are defined"),
        ([0.5, 0.6], [0.5, 0.4], 0, "ratio is 0"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=sentence):
            compare_folds(a, b, ratio=ratio)


@pytest.mark.parametrize("k", [3, 5, 9])
def test_wilcoxon_over_the_folds_is_that_of_scipy(k):
    rng = np.random.default_rng(k)
    a, b = rng.normal(0.8, 0.05, k), rng.normal(0.78, 0.05, k)
    assert compare_folds(a, b, ratio=1 / 4).wilcoxon_p == pytest.approx(stats.wilcoxon(a, b).pvalue)
    always = compare_folds(b + 0.1, b, ratio=1 / 4).wilcoxon_p
    assert always == pytest.approx(2 / 2**k), "the least that k folds can give"


def test_the_interval_of_one_training_is_students_with_the_corrected_variance():
    values = [0.81, 0.78, math.nan, 0.85, 0.80]
    found = spread_of_folds(values, ratio=1 / 4)
    known = [v for v in values if v == v]
    assert (found.folds, found.mean, found.sd) == (4, pytest.approx(np.mean(known)), pytest.approx(np.std(known, ddof=1)))
    scale = math.sqrt((1 / 4 + 1 / 4) * np.var(known, ddof=1))
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 3, loc=np.mean(known), scale=scale))
    plain = stats.t.interval(0.95, 3, loc=np.mean(known), scale=stats.sem(known))
    assert spread_of_folds(values, ratio=1e-12).low == pytest.approx(plain[0]), "without overlap the plain one"
    alone = spread_of_folds([0.7, math.nan], ratio=1 / 4)
    assert alone.folds == 1
    assert alone.mean == 0.7
    assert math.isnan(alone.low)
    assert math.isnan(alone.sd)
