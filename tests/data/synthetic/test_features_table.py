"""The clinical features against the table they were written from."""

import numpy as np
import pytest

from pellucid.data.synthetic.features import FEATURES, TABLE, draw

# Benign and malignant, mean and sd, copied once more from the source: the code must not be its own witness.
EXPECTED = {
    "Age": ((54.9, 8.0), (65.0, 8.1)),
    "PackYears": ((20.4, 10.0), (39.8, 12.3)),
    "SUVmax": ((2.50, 0.82), (6.42, 1.47)),
    "NoduleDiam_mm": ((7.1, 2.3), (14.8, 4.9)),
    "SpiculationIdx": ((0.18, 0.13), (0.72, 0.16)),
    "PleuraTether": ((0.09, None), (0.40, None)),
    "FEV1_pct": ((82.2, 12.2), (67.1, 13.7)),
    "BMI": ((26.4, 4.1), (24.0, 4.0)),
    "CRP_mgL": ((2.9, 2.9), (7.6, 7.7)),
}
ORDER = (*EXPECTED, "FamilyHx", "SmokingStatus", "Gender")
N = 4000


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    return {label: np.stack([draw(rng, label) for _ in range(N)]) for label in (0, 1)}


def test_names_stand_in_the_order_of_the_source():
    assert FEATURES == ORDER


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("label", [0, 1])
def test_means_and_sds_are_those_of_the_table(drawn, name, label):
    mean, sd = EXPECTED[name][label]
    column = drawn[label][:, FEATURES.index(name)]
    spread = sd if sd is not None else np.sqrt(mean * (1 - mean))
    # Four standard errors, and 1 % of the spread for what the clipping moves.
    assert abs(column.mean() - mean) < spread * (4 / np.sqrt(N) + 0.01)
    if sd is not None:
        assert abs(column.std() / sd - 1) < 0.08


def test_values_are_possible(drawn):
    for label in (0, 1):
        for column, feature in zip(drawn[label].T, TABLE):
            assert column.min() >= feature.low
            assert column.max() <= feature.high
            if feature.law == "binary":
                assert set(np.unique(column)) == {0.0, 1.0}


def test_three_features_carry_nothing(drawn):
    for name in ("FamilyHx", "SmokingStatus", "Gender"):
        k = FEATURES.index(name)
        assert abs(drawn[0][:, k].mean() - drawn[1][:, k].mean()) < 0.05
