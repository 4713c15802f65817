"""Certainty against errors: scikit-learn, SciPy and literal twins; intervals by patient; what cannot be said."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from pellucid.errors import UsageError
from pellucid.evaluate.cohort.detector import COLUMNS, CURVE, best_aurc, detect, error_detector
from reference import metric_detector as literal


def drawn(n=60, ties=False, seed=0):
    rng = np.random.default_rng(seed)
    correct = rng.random(n) < 0.7
    values = correct * 0.5 + rng.normal(size=n)
    return np.round(values * 2) / 2 if ties else values, correct


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_equals_scikit_learn_and_scipy(ties, direction):
    values, correct = drawn(ties=ties)
    found = error_detector(values, correct, direction=direction)
    sign = 1 if direction == "higher" else -1
    assert found.auroc == pytest.approx(roc_auc_score(correct, sign * values))
    assert found.p == pytest.approx(mannwhitneyu(values[correct], values[~correct], alternative="two-sided").pvalue)
    assert (found.n, found.wrong, found.undefined, found.note) == (60, int((~correct).sum()), 0, "")
    assert found.low < found.auroc < found.high


@pytest.mark.parametrize("seed", range(8))
def test_equals_its_twins_with_ties_over_all_orders(seed):
    rng = np.random.default_rng(seed)
    values, correct = rng.integers(0, 3, 6).astype(float), rng.random(6) < 0.6
    correct[0], correct[1] = True, False
    found = error_detector(values, correct, n_boot=5)
    assert found.auroc == pytest.approx(literal.auroc(values, correct))
    np.testing.assert_allclose(found.risk, literal.risks(values, correct))
    np.testing.assert_allclose(found.coverage, np.arange(1, 7) / 6)
    assert found.aurc == pytest.approx(np.mean(literal.risks(values, correct)))
    assert found.best_aurc == pytest.approx(literal.best(correct))
    assert found.random_aurc == pytest.approx(np.mean(~correct)) == pytest.approx(found.risk[-1])


def test_a_perfect_detector_a_useless_one_and_one_that_is_always_wrong():
    correct = np.repeat([True, False], [30, 10])
    perfect = error_detector(correct.astype(float), correct)
    assert perfect.auroc == 1.0 and perfect.e_aurc == pytest.approx(0.0)
    ranked = error_detector(-np.arange(40.0), correct)
    assert ranked.auroc == 1.0 and ranked.e_aurc == pytest.approx(0.0) and ranked.p < 1e-4
    assert ranked.best_aurc == pytest.approx(best_aurc(40, 10)) == pytest.approx(np.mean([max(k - 30, 0) / k for k in range(1, 41)]))
    assert ranked.risk[:30].tolist() == [0.0] * 30 and ranked.risk[-1] == 0.25
    flat = error_detector(np.ones(40), correct)
    assert flat.auroc == 0.5 and flat.aurc == pytest.approx(flat.random_aurc) == 0.25 and flat.p == pytest.approx(1.0)
    np.testing.assert_allclose(flat.risk, 0.25)
    assert error_detector(np.arange(40.0), correct).auroc == 0.0


def test_random_certainties_give_a_half_and_their_intervals_hold_it():
    rng = np.random.default_rng(3)
    found = [error_detector(rng.random(60), rng.random(60) < 0.7, n_boot=200, seed=i) for i in range(100)]
    assert np.mean([f.auroc for f in found]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([f.aurc - f.random_aurc for f in found]) == pytest.approx(0.0, abs=0.03)
    assert 85 <= sum(f.low <= 0.5 <= f.high for f in found) <= 100  # 95 % nominal


def test_the_bootstrap_draws_patients():
    """Every patient's cases are alike: eighty cases of forty patients say as much as forty, and the interval is as wide."""
    values, correct = drawn(40, seed=2)
    once = error_detector(values, correct, n_boot=500)
    patients = [f"p{i:02}" for i in range(40)]  # in the order of their numbers, so that the draws are the same
    twice = error_detector(np.tile(values, 2), np.tile(correct, 2), patients * 2, n_boot=500)
    apart = error_detector(np.tile(values, 2), np.tile(correct, 2), n_boot=500)
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))
    assert apart.high - apart.low < 0.9 * (twice.high - twice.low)
    again = error_detector(values, correct, n_boot=500)
    assert (again.low, again.high) == (once.low, once.high)
    assert error_detector(values, correct, n_boot=500, seed=1).low != once.low


@pytest.mark.parametrize(("values", "correct", "groups", "word"), [
    ([1.0, 2], [True, True], None, "no wrong prediction"), ([1.0, 2], [False, False], None, "no right prediction"),
    ([math.nan, math.nan], [True, False], None, "no prediction has a value"), ([], [], None, "no prediction has a value"),
    ([1.0, math.nan], [True, False], None, "no wrong prediction"),
])  # fmt: skip
def test_what_cannot_be_said_is_nan_with_a_reason(values, correct, groups, word):
    found = error_detector(values, correct, groups)
    assert math.isnan(found.auroc) and math.isnan(found.p) and math.isnan(found.low) and word in found.note


def test_one_patient_has_no_interval():
    found = error_detector([1.0, 2, 3], [False, True, True], ["p"] * 3)
    assert found.auroc == 1.0 and math.isnan(found.low) and "one patient" in found.note


def test_predictions_without_a_value_are_left_out_and_counted():
    values, correct = drawn()
    holed = values.copy()
    holed[:10] = math.nan
    found, rest = error_detector(holed, correct), error_detector(values[10:], correct[10:])
    assert found.undefined == 10 and found.n == 50
    assert (found.auroc, found.low, found.aurc) == pytest.approx((rest.auroc, rest.low, rest.aurc))


@pytest.mark.parametrize("change", [
    {"correct": [True, False]}, {"correct": [True, False, 2]}, {"direction": "none"}, {"n_boot": 0},
    {"groups": ["a"]},
])  # fmt: skip
def test_bad_calls_are_refused(change):
    with pytest.raises(UsageError, match="error_detector"):
        error_detector(**{"values": [1.0, 2, 3], "correct": [True, False, True], **change})


# -- tables ----------------------------------------------------------------------------------------------------------


def table(n=30, seed=1):
    values, correct = drawn(n, seed=seed)
    rows = []
    for i in range(n):
        for method, sign in (("a", 1), ("b", -1)):
            for target, shift in (("t0", -0.25), ("t1", 0.25)):
                for metric in ("segu", "deletion_auc"):
                    rows.append({"case": f"c{i}", "group": f"g{i // 2}", "method": method, "target": target,
                                 "metric": metric, "value": sign * values[i] + shift})  # fmt: skip
    return pd.DataFrame(rows), {f"c{i}": bool(correct[i]) for i in range(n)}, values, correct


def test_detect_gives_one_row_per_metric_and_method_and_their_curves():
    scores, correct, values, right = table()
    detector, curve = found = detect(scores, correct, n_boot=50)
    assert list(detector.columns) == COLUMNS and list(curve.columns) == CURVE
    assert found.detector is detector and found.risk_coverage is curve
    assert len(detector) == 4 and (detector["n"] == 30).all() and len(curve) == 4 * 30
    one = lambda metric, method: detector[(detector.metric == metric) & (detector.method == method)].iloc[0]  # noqa: E731
    area = roc_auc_score(right, values)
    assert one("segu", "a").auroc == pytest.approx(area) == pytest.approx(one("deletion_auc", "b").auroc)
    assert one("segu", "b").auroc == pytest.approx(1 - area) == pytest.approx(one("deletion_auc", "a").auroc)
    alone = error_detector(values, right, [f"g{i // 2}" for i in range(30)], n_boot=50)
    row = one("segu", "a")
    assert (row.low, row.high, row.aurc, row.e_aurc) == pytest.approx((alone.low, alone.high, alone.aurc, alone.e_aurc))
    part = curve[(curve.metric == "segu") & (curve.method == "a")]
    np.testing.assert_allclose(part["risk"], alone.risk)


def test_detect_takes_what_it_is_given_and_says_what_is_missing():
    scores, correct, *_ = table()
    half = {k: v for k, v in correct.items() if int(k[1:]) < 15}
    assert (detect(scores, half, metrics=["segu"], n_boot=20).detector[["metric", "n"]].to_numpy().tolist()
            == [["segu", 15]] * 2)  # fmt: skip
    assert (detect(scores, dict.fromkeys(correct, True), n_boot=20).detector["note"] == "no wrong prediction").all()
    empty = detect(scores.iloc[:0], correct)
    assert list(empty.detector.columns) == COLUMNS and list(empty.risk_coverage.columns) == CURVE
    assert len(empty.detector) == len(empty.risk_coverage) == 0
    with pytest.raises(UsageError, match="no metric 'dice'"):
        detect(scores, correct, metrics=["dice"])
    with pytest.raises(UsageError, match="no column 'value'"):
        detect(scores.drop(columns="value"), correct)
    assert len(detect(scores.drop(columns="group"), correct, n_boot=20).detector) == 4


def test_a_few_errors_give_no_interval_and_no_overlap_is_said():
    few = error_detector([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.1], [True] * 6 + [False], n_boot=100)
    assert few.auroc == 1 and math.isnan(few.low) and "too few patients (1)" in few.note
    apart = error_detector(np.arange(12.0), np.arange(12) > 5, n_boot=100)
    assert (apart.low, apart.high) == (1, 1) and "do not overlap" in apart.note


# -- several predictions in a case, and what a measure has to beat -----------------------------------------------------


def findings(n=40, seed=4):
    """Two findings a case; what is said of each is right or wrong by itself. The measure knows it a little better."""
    rng = np.random.default_rng(seed)
    correct = {(f"c{i:02}", t): bool(rng.random() < 0.7) for i in range(n) for t in (0, 3)}
    confidence = {k: 0.3 * v + rng.random() for k, v in correct.items()}
    rows = [
        {"case": c, "group": f"g{int(c[1:]) // 2}", "method": m, "metric": "segu", "target_index": t,
         "value": (1.0 if m == "a" else 0.0) * correct[c, t] + rng.random()}
        for c, t in correct for m in ("a", "random")
    ]  # fmt: skip
    return pd.DataFrame(rows), correct, confidence


def test_each_finding_of_a_case_is_a_prediction_of_its_own():
    scores, correct, confidence = findings()
    found = detect(scores, correct, confidence=confidence, n_boot=50).detector.set_index("method")
    mine = scores[scores.method == "a"]
    truth = [correct[c, t] for c, t in zip(mine.case, mine.target_index)]
    assert found.loc["a", "n"] == 80 and found.loc["a", "wrong"] == sum(not v for v in truth)
    assert found.loc["a", "auroc"] == pytest.approx(roc_auc_score(truth, mine.value))
    assert found.loc["a", "confidence"] == pytest.approx(roc_auc_score(truth, [confidence[c, t] for c, t in zip(mine.case, mine.target_index)]))
    some = {k: v for k, v in correct.items() if k[1] == 3}
    assert (detect(scores, some, n_boot=20).detector["n"] == 40).all()
    with pytest.raises(UsageError, match="no column 'target_index'"):
        detect(scores.drop(columns="target_index"), correct)


def test_a_measure_is_set_beside_the_models_confidence_and_a_random_map_by_the_same_draws():
    scores, correct, confidence = findings()
    found = detect(scores, correct, confidence=confidence, n_boot=60, seed=5).detector.set_index("method")
    a, random = found.loc["a"], found.loc["random"]
    for rival, theirs in (("confidence", a.confidence), ("random", random.auroc)):
        assert a[rival] == pytest.approx(theirs) and a[f"over_{rival}"] == pytest.approx(a.auroc - theirs)
        assert a[f"over_{rival}_low"] > 0  # planted: much better than both
    assert random.over_confidence_low < random.over_confidence < random.over_confidence_high
    assert math.isnan(random["random"]) and math.isnan(random["over_random"])
    # By hand: patients drawn, both areas of the same draw.
    own = scores[scores.method == "a"].reset_index(drop=True)
    truth = np.array([correct[c, t] for c, t in zip(own.case, own.target_index)])
    sure = np.array([confidence[c, t] for c, t in zip(own.case, own.target_index)])
    names = sorted(own.group.unique())
    gaps = []
    for counts in np.random.default_rng(5).multinomial(len(names), [1 / len(names)] * len(names), 60):
        rows = [i for k, g in zip(counts, names) for _ in range(k) for i in own.index[own.group == g]]
        gaps.append(roc_auc_score(truth[rows], own.value[rows]) - roc_auc_score(truth[rows], sure[rows]))
    assert (a.over_confidence_low, a.over_confidence_high) == pytest.approx(np.quantile(gaps, [0.025, 0.975]))
    same = detect(scores, correct, confidence=dict(zip(zip(own.case, own.target_index), own.value)), n_boot=50)
    a = same.detector.set_index("method").loc["a"]
    assert a.over_confidence == a.over_confidence_low == a.over_confidence_high == 0


def test_few_errors_give_no_interval_of_the_difference_either():
    scores, correct, confidence = findings(6)
    wrong = dict.fromkeys(correct, True) | {next(iter(correct)): False}
    found = detect(scores, wrong, confidence=confidence, n_boot=50).detector.set_index("method").loc["a"]
    assert np.isfinite(found.over_confidence) and math.isnan(found.over_confidence_low)


def test_a_masked_map_is_set_beside_the_random_map_through_the_same_mask():
    scores, correct, confidence = findings()
    masked = scores.assign(method="segx(" + scores["method"] + ")", value=scores["value"] ** 2 + scores.index % 7)
    found = detect(pd.concat([scores, masked]), correct, confidence=confidence, n_boot=20).detector.set_index("method")
    assert found.loc["a", "random"] == pytest.approx(found.loc["random", "auroc"])
    assert found.loc["segx(a)", "random"] == pytest.approx(found.loc["segx(random)", "auroc"])
    assert found.loc["segx(random)", "auroc"] != pytest.approx(found.loc["random", "auroc"])
    assert math.isnan(found.loc["segx(random)", "random"]) and math.isnan(found.loc["random", "random"])
    alone = detect(pd.concat([scores, masked[masked["method"] == "segx(a)"]]), correct, n_boot=20).detector
    assert math.isnan(alone.set_index("method").loc["segx(a)", "random"])
