"""The measures of agreement against published examples, literal twins and other packages."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from pellucid.core.statistics import draws_of, spearman
from pellucid.readers.alpha import alpha, coincidences
from pellucid.readers.draws import crossed, ends
from pellucid.readers.icc import icc
from pellucid.readers.kappa import kappa
from pellucid.readers.metrics import _one
from reference import readers as literal

LEVELS = (1, 2, 3, 4, 5)
NO = None
# Krippendorff 2011, section D: four observers, twelve units, alpha 0.815 for ordinal data.
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NO, NO, NO],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NO, 3],
    [NO, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NO],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NO],
]
# Shrout and Fleiss 1979, table 2: six targets, four judges.
JUDGED = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def ours(ratings):
    table = np.array([[np.nan if v is None else v for v in row] for row in ratings], float)
    return float(alpha(coincidences(table, LEVELS).sum(0)))


def drawn(seed, readers=3, units=12):
    generator = np.random.default_rng(seed)
    ratings = generator.integers(1, 6, (readers, units)).astype(float)
    ratings[generator.random((readers, units)) < 0.25] = np.nan
    return ratings


def test_alpha_is_that_of_the_published_example():
    assert round(ours(PUBLISHED), 3) == 0.815
    assert literal.alpha(list(zip(*PUBLISHED)), LEVELS) == pytest.approx(ours(PUBLISHED), abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_alpha_equals_its_literal_twin_and_another_package(seed):
    ratings = drawn(seed)
    units = [[None if np.isnan(v) else int(v) for v in column] for column in ratings.T]
    assert ours(ratings) == pytest.approx(literal.alpha(units, LEVELS), abs=1e-12)
    other = pytest.importorskip("krippendorff")
    assert ours(ratings) == pytest.approx(other.alpha(ratings, level_of_measurement="ordinal"), abs=1e-12)


def test_alpha_of_drawn_units_is_that_of_units_repeated():
    ratings = drawn(9)
    weights = np.array([[2, 0, 1, 3, 1, 0, 1, 1, 1, 0, 1, 1.0]])
    each = coincidences(ratings, LEVELS)
    summed = (weights @ each.reshape(len(each), -1)).reshape(1, 5, 5)
    assert alpha(summed)[0] == pytest.approx(ours(np.repeat(ratings, weights[0].astype(int), axis=1)), abs=1e-12)


def test_two_equal_readers_have_alpha_one_and_one_value_has_none():
    ratings = np.tile(drawn(1)[:1], (2, 1))
    assert ours(ratings) == 1.0
    assert np.isnan(ours(np.full((2, 6), 3.0)))


def test_random_readers_have_alpha_near_zero():
    assert abs(ours(np.random.default_rng(0).integers(1, 6, (3, 3000)))) < 0.03


def test_icc_is_that_of_the_published_example():
    single, mean = icc(np.array(JUDGED, float))
    assert (round(float(single), 2), round(float(mean), 2)) == (0.29, 0.62)
    assert literal.icc(JUDGED) == pytest.approx((float(single), float(mean)), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_icc_of_drawn_targets_equals_the_literal_one_of_targets_repeated(seed):
    generator = np.random.default_rng(seed)
    table = generator.integers(1, 6, (7, 3)).astype(float)
    weights = generator.integers(0, 3, (2, 7)).astype(float)
    single, mean = icc(table, weights)
    for row, w in enumerate(weights.astype(int)):
        expected = literal.icc(np.repeat(table, w, axis=0).tolist())
        assert (single[row], mean[row]) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("table", [np.full((5, 3), 2.0), np.ones((1, 3)), np.arange(5.0)[:, None]])
def test_icc_is_undefined_where_nothing_varies_or_there_is_one(table):
    assert all(np.isnan(v) for v in icc(table))


def test_equal_judges_have_icc_one():
    assert [float(v) for v in icc(np.repeat(np.arange(5.0)[:, None], 3, axis=1))] == [1.0, 1.0]


@pytest.mark.parametrize("seed", range(4))
def test_kappa_is_scikit_learns(seed):
    generator = np.random.default_rng(seed)
    a = generator.integers(1, 6, 20).astype(float)
    b = np.clip(a + generator.integers(-1, 2, 20), 1, 5)
    weights = generator.integers(0, 3, (1, 20)).astype(float)
    assert kappa(a, b, LEVELS) == pytest.approx(cohen_kappa_score(a, b, labels=LEVELS, weights="quadratic"))
    again = cohen_kappa_score(a, b, labels=LEVELS, weights="quadratic", sample_weight=weights[0])
    assert kappa(a, b, LEVELS, weights)[0] == pytest.approx(again)
    assert np.isnan(kappa(np.full(4, 3.0), np.full(4, 3.0), LEVELS))


@pytest.mark.parametrize("seed", range(4))
def test_spearman_of_drawn_values_is_scipys_of_values_repeated(seed):
    generator = np.random.default_rng(seed)
    x, y = generator.integers(1, 6, 15).astype(float), generator.normal(size=15).round(1)
    weights = generator.integers(0, 4, (3, 15)).astype(float)
    for found, w in zip(spearman(x, y, weights), weights.astype(int)):
        assert found == pytest.approx(spearmanr(np.repeat(x, w), np.repeat(y, w)).statistic, abs=1e-12)
    assert np.isnan(spearman(x, np.ones(15), weights)).all()


def test_the_interval_of_random_readers_holds_zero_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    draws = draws_of(20, 200, 0)[:, np.repeat(np.arange(20), 3)]
    held = 0
    for _ in range(100):
        each = coincidences(generator.integers(1, 6, (3, 60)).astype(float), LEVELS)
        low, high = ends(alpha((draws @ each.reshape(60, -1)).reshape(-1, 5, 5)))
        held += low < 0 < high
    assert held >= 88


def test_a_metric_that_knows_nothing_is_rarely_said_to_go_with_readers():
    generator = np.random.default_rng(2)
    groups, alarms = list(np.repeat(np.arange(8), 3)), 0
    for _ in range(100):  # patients differ in both, so that maps of one patient are alike
        x, y = (np.repeat(generator.normal(size=8), 3) + generator.normal(size=24) for _ in range(2))
        alarms += _one(np.clip(np.rint(3 + x), 1, 5), y, groups, 200, 0)["p"] < 0.05
    assert alarms <= 11  # 5 of 100 are expected; more than 11 come by chance less than once in a hundred times


def test_the_interval_over_patients_and_readers_is_wider_than_either_alone():
    generator = np.random.default_rng(0)
    patients, readers = np.repeat(np.arange(12), 4), np.tile(np.arange(4), 12)
    values = 3 + generator.normal(size=12)[patients] + generator.normal(size=4)[readers]
    low, high, over, note = crossed(values, list(patients), list(readers), n_boot=800, seed=0)
    assert over == "patients and readers" and not note and low < values.mean() < high
    alone = crossed(values, list(patients), ["one"] * 48, n_boot=800, seed=0)
    assert alone[2] == "patients" and high - low > 1.3 * (alone[1] - alone[0])


def test_one_patient_has_no_interval_and_no_rating_has_none():
    low, _, _, note = crossed(np.array([3.0, 4.0]), ["a", "a"], [1, 2], n_boot=50, seed=0)
    assert np.isnan(low) and note == "one patient only: no interval"
    assert crossed(np.array([np.nan]), ["a"], [1], n_boot=50, seed=0)[3] == "no ratings"
