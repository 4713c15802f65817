"""Outliers on the published table of Agg²Exp, 32 patients × 17 classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.ensemble import IsolationForest

import pellucid as pc
from pellucid.aggregate.outlier_tests import associations
from pellucid.aggregate.outliers import Forest, find_outliers

pytestmark = pytest.mark.real
NAME = "tsv2_test_aggregated_sg_explanations_with_dice.csv"
CLASSES = ["ribs", "heart", "lung_lower_lobe_right"]


@pytest.fixture(scope="module")
def path(shared_data):
    return shared_data / "agg2exp" / NAME


@pytest.fixture(scope="module")
def found(path):
    return find_outliers(pc.load_region_table(path), targets=CLASSES, forest=Forest(trees=100))


def test_scores_are_those_of_the_columns_of_the_file(path, found):
    raw = pd.read_csv(path)
    for target in CLASSES:
        x = raw[[c for c in raw if c.startswith(f"{target}_explanation_in_") and c.endswith("_mass")]].to_numpy()
        assert x.shape == (32, 17)
        oracle = IsolationForest(n_estimators=100, random_state=0).fit(x).decision_function(x)
        own = found[found["target"] == target]
        np.testing.assert_array_equal(own["score"], oracle)
        np.testing.assert_array_equal(own["dice"], raw[f"{target}_dice"])


def test_one_patient_stands_apart_and_the_reason_is_in_the_file(path, found):
    raw = pd.read_csv(path).set_index("patient")
    ribs = found[found["target"] == "ribs"].set_index("case")
    assert ribs["score"].idxmin() == "s0802" and ribs.loc["s0802", "score"] < ribs.drop("s0802")["score"].min() - 0.05
    trachea = raw["ribs_explanation_in_trachea_mass"]
    mad = (trachea - trachea.median()).abs().median()
    assert ribs.loc["s0802", "region"] == "trachea"
    assert ribs.loc["s0802", "z"] == pytest.approx((trachea["s0802"] - trachea.median()) / (1.4826 * mad))


def test_poor_segmentation_goes_with_an_unusual_map_of_the_lower_right_lobe(found):
    tests = associations(found).set_index("target")
    lobe = found[found["target"] == "lung_lower_lobe_right"]
    row = tests.loc["lung_lower_lobe_right"]
    assert row["effect"] == pytest.approx(spearmanr(lobe["score"], lobe["dice"]).statistic)
    assert row["low"] > 0.2 and row["p_holm"] < 0.05
    assert tests.loc["heart", "low"] < 0 < tests.loc["heart", "high"]
