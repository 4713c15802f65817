"""CheXlocalize's mIoU: the curve over thresholds, and thresholds that no case chooses for itself."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from metric_worlds import linear_world, of
from pellucid.errors import UsageError
from pellucid.evaluate.cohort.compare import compare
from pellucid.evaluate.cohort.localise import CASES, FINDINGS, tuned_iou
from pellucid.evaluate.plausibility.iou_over_thresholds import iou_at
from pellucid.evaluate.run import as_metric, score_table
from pellucid.evaluate.shared.levels import levels
from reference import metric_plausible as literal

GRID = [round(0.1 * i, 1) for i in range(1, 10)]


@pytest.mark.parametrize("shape", [(9, 8), (5, 4, 6)])
@pytest.mark.parametrize("steps", [4, 1000])
def test_the_curve_equals_its_twin(shape, steps):
    rng = np.random.default_rng(steps)
    support = rng.integers(1, steps + 1, shape).astype(float)  # the smallest value is not zero: min–max matters
    mask = rng.random(shape) < 0.3
    found = iou_at(levels(torch.from_numpy(support), torch.from_numpy(mask)), torch.tensor(GRID, dtype=torch.double))
    np.testing.assert_allclose(found, literal.iou_at_thresholds(support, mask, GRID))


def test_the_metric_is_the_mean_of_its_parts_and_they_reach_the_details_table():
    predictor, case, exact = linear_world()
    e = of(predictor, case, [exact])
    scores, details = score_table(e, [as_metric("iou_over_thresholds"), as_metric("iou")])
    ious = [r for r in details if r["part"] == "iou"]
    assert [r["position"] for r in ious] == pytest.approx(np.arange(1, 20) / 20)
    assert scores[0]["value"] == pytest.approx(np.mean([r["value"] for r in ious]))
    assert next(r["value"] for r in details if r["part"] == "share") == pytest.approx(9 / 64)
    assert next(r["value"] for r in ious if r["position"] == 0.5) == pytest.approx(scores[1]["value"])


def test_a_flat_map_is_at_its_maximum_everywhere():
    mask = torch.eye(8).bool()
    assert iou_at(levels(torch.full((8, 8), 3.0), mask), torch.tensor([0.1, 0.9])).tolist() == [1 / 8, 1 / 8]


# -- tuned -----------------------------------------------------------------------------------------------------------


def details(n=24, findings=("a", "b"), methods=("m", "edge"), cases_each=2, seed=0, prefix="c"):
    """IoU curves with their peak at 0.3 (finding a) and 0.7 (finding b), and some noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        for f, finding in enumerate(findings):
            for method in methods:
                curve = 0.6 - np.abs(np.array(GRID) - (0.3 if f == 0 else 0.7)) + rng.normal(0, 0.02, len(GRID))
                shared = {"case": f"{prefix}{i}", "group": f"{prefix}g{i // cases_each}", "method": method,
                          "target": finding, "metric": "iou_over_thresholds"}  # fmt: skip
                rows += [{**shared, "part": "iou", "position": t, "value": v} for t, v in zip(GRID, curve.clip(0, 1))]
                rows.append({**shared, "part": "share", "position": 0.0, "value": 0.01 * (i + 1)})
    return pd.DataFrame(rows)


def test_each_finding_gets_its_own_threshold_and_no_case_its_best():
    table = details()
    found = tuned_iou(table, n_boot=200)
    assert list(found.cases.columns) == CASES and list(found.findings.columns) == FINDINGS
    assert len(found.cases) == 24 * 2 * 2
    means = found.cases.groupby("finding")["threshold"].agg(["min", "max"])
    assert means.loc["a"].tolist() == [0.3, 0.3] and means.loc["b"].tolist() == [0.7, 0.7]
    for _, row in found.findings.iterrows():
        part = found.cases[(found.cases.method == row.method) & ((found.cases.finding == row.finding) | (row.finding == "all"))]
        assert row.miou == pytest.approx(part["value"].mean()) and row.low < row.miou < row.high
        assert row.n == (48 if row.finding == "all" else 24) and row.groups == 12
    assert set(found.findings.finding) == {"a", "b", "all"}


def test_equals_its_twin_on_the_same_folds():
    table = details(findings=("a",), methods=("m",), seed=3)
    table.loc[table.part == "iou", "value"] = np.random.default_rng(1).random((table.part == "iou").sum())
    found = tuned_iou(table, folds=4, seed=2, n_boot=10)
    ious = table[table.part == "iou"]
    curves = {c: list(rows.sort_values("position")["value"]) for c, rows in ious.groupby("case")}
    patients = dict(zip(table["case"], table["group"]))
    names = sorted(set(patients.values()))
    fold = dict(zip(names, np.random.default_rng(2).permutation(len(names)) % 4))
    expected = literal.tuned(curves, patients, fold)
    for _, row in found.cases.iterrows():
        best, value = expected[row.case]
        assert (row.threshold, row.value) == pytest.approx((GRID[best], value))
    assert found.cases["threshold"].nunique() > 1  # noise: the folds do not agree, or the test would show little


def test_no_patient_has_a_say_in_the_own_threshold():
    """One patient's curve is changed beyond recognition: its thresholds stay, those of others may move."""
    table = details(n=8, findings=("a",), methods=("m",))
    before = tuned_iou(table, folds=8, n_boot=10).cases.set_index("case")
    mine = (table["group"] == "cg0") & (table["part"] == "iou")
    changed = table.copy()
    changed.loc[mine, "value"] = np.where(changed.loc[mine, "position"] == 0.9, 1.0, 0.0)
    after = tuned_iou(changed, folds=8, n_boot=10).cases.set_index("case")
    for case in ("c0", "c1"):
        assert after.threshold[case] == before.threshold[case]
        assert after.value[case] == 0.0  # it would have been 1 at the threshold it would choose itself
    greedy = changed[mine].groupby("case")["value"].max()
    assert (greedy == 1.0).all()


def test_thresholds_from_validation_cases():
    table, other = details(n=6), details(n=30, seed=9, prefix="v")
    other.loc[other["target"] == "a", "position"] = 1 - other.loc[other["target"] == "a", "position"]
    other["position"] = other["position"].round(1)
    found = tuned_iou(table, validation=other, n_boot=10).cases
    assert (found[found.finding == "a"]["threshold"] == 0.7).all()  # the validation cases', wrong as it is here
    with pytest.raises(UsageError, match="3 patients are among the validation cases"):
        tuned_iou(table, validation=pd.concat([other, table]))
    with pytest.raises(UsageError, match="other thresholds"):
        tuned_iou(table, validation=other[other["position"] < 0.85])
    lacking = tuned_iou(table, validation=other[other["target"] == "b"], n_boot=10)
    none = lacking.cases[lacking.cases.finding == "a"]
    assert none["value"].isna().all() and none["note"].str.contains("no other patient").all()


def test_strata_by_size_and_confidence():
    facts = pd.DataFrame({"case": [f"c{i}" for i in range(24)], "confidence": np.linspace(0.2, 0.9, 24)})
    found = tuned_iou(details(), facts=facts, n_boot=50).strata
    assert set(found["stratum"]) == {"lesion size", "confidence"}
    sizes = found[(found["stratum"] == "lesion size") & (found["method"] == "m")]
    assert len(sizes) == 3 and sizes["n"].sum() == 24
    assert sizes["level"].iloc[0] == "small (0.01 to 0.08 of the picture)"
    own = tuned_iou(details(), facts=facts.assign(region_size=range(24), region_unit="mm²"), n_boot=50).strata
    assert own[own["stratum"] == "lesion size"]["level"].str.contains("mm²").all()


def test_the_cases_are_a_table_that_compare_takes():
    found = compare(tuned_iou(details(), n_boot=10).cases, n_boot=50)
    assert set(found["metric"]) == {"iou_tuned"} and len(found) == 2 and found["n"].tolist() == [24, 24]


def test_one_patient_chooses_nothing():
    found = tuned_iou(details(n=2, findings=("a",)), n_boot=10)
    assert found.cases["value"].isna().all() and found.cases["note"].str.contains("no other patient").all()
    assert found.findings["miou"].isna().all() and found.findings["note"].str.contains("no other patient").all()
    assert len(found.strata) == 0
    one = tuned_iou(details(n=2, findings=("a",)), validation=details(n=4, prefix="v"), n_boot=10).findings.iloc[0]
    assert math.isfinite(one.miou) and math.isnan(one.low) and "one patient" in one.note


@pytest.mark.parametrize(("change", "word"), [
    ({"folds": 1}, "at least 2"), ({"n_boot": 0}, "n_boot"), ({"metric": "dice"}, "no parts of 'dice'"),
    ({"by": "organ"}, "no column 'organ'"),
])  # fmt: skip
def test_bad_calls_are_refused(change, word):
    with pytest.raises(UsageError, match=word):
        tuned_iou(details(n=4), **change)
