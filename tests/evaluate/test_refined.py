"""Refined maps against plain ones: a literal twin, planted gains, the control that a fair test needs, few patients."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from pellucid.core.statistics import holm
from pellucid.errors import UsageError
from pellucid.evaluate.cohort.refined import COLUMNS, pairs_of, refined
from reference import metric_refined as literal


def table(values: dict[str, np.ndarray], metric: str = "dice", per_patient: int = 1) -> pd.DataFrame:
    """``values``: method to ``(cases,)`` or ``(cases, targets)``."""
    rows = []
    for method, numbers in values.items():
        for i, own in enumerate(np.atleast_2d(np.asarray(numbers, float).T).T):
            for t, v in enumerate(own):
                rows.append({"case": f"c{i:02}", "group": f"g{i // per_patient:02}", "target_index": t, "method": method,
                             "metric": metric, "value": v})  # fmt: skip
    return pd.DataFrame(rows)


def asked(scores: pd.DataFrame, **options):
    return refined(scores, pairs_of(scores["method"], ["segx"]), **options)


def row(found: pd.DataFrame, method: str, metric: str = "dice") -> pd.Series:
    return found[(found.metric == metric) & (found.method == method)].iloc[0]


def planted(n=30, lift=0.2, control_lift=0.2, noise=0.02, seed=0, metric="dice"):
    """A method whose mask lifts it by ``lift`` and a random map that it lifts by ``control_lift``."""
    rng = np.random.default_rng(seed)
    cam, random = rng.normal(0.4, 0.1, n), rng.normal(0.1, 0.02, n)
    jitter = lambda: rng.normal(0, noise, n)  # noqa: E731
    return table({"cam": cam, "random": random, "segx(cam)": cam + lift + jitter(),
                  "segx(random)": random + control_lift + jitter()}, metric)  # fmt: skip


def test_equals_its_literal_twin_with_targets_patients_and_holes():
    rng = np.random.default_rng(1)
    values = {m: rng.random((14, 2)) for m in ("cam", "random", "segx(cam)", "segx(random)")}
    values["segx(cam)"][[0, 3], [1, 0]] = np.nan  # one target of a case
    values["random"][5] = np.nan  # a whole case
    scores = table(values, per_patient=2)
    found = row(asked(scores, n_boot=60, seed=3), "cam")
    rows = scores.to_dict("records")
    for name, twin in (("difference", literal.difference), ("beyond", literal.beyond), ("against", literal.against)):
        wanted = literal.mean_and_interval(*twin(rows, "dice", "cam"), 60, 3)
        assert (found[name], found[f"{name}_low"], found[f"{name}_high"]) == pytest.approx(wanted), name
    cases, _ = literal.by_case(rows, "dice", lambda v: v["cam"] + 0 * v["segx(cam)"])
    assert found["plain"] == pytest.approx(np.mean(list(cases.values()))) and found["n"] == 14
    assert found["mean"] - found["plain"] == pytest.approx(found["difference"])
    of_patient, _ = literal.difference(rows, "dice", "cam")
    per_patient = [np.mean([v for (p, _), v in of_patient.items() if p == q]) for q in sorted({p for p, _ in of_patient})]
    control, _ = literal.difference(rows, "dice", "random")
    theirs = [np.mean([v for (p, _), v in control.items() if p == q]) for q in sorted({p for p, _ in control})]
    raw = np.array([wilcoxon(per_patient).pvalue, wilcoxon(theirs).pvalue])
    assert found["p"] == pytest.approx(holm(raw)[0])


@pytest.mark.parametrize(("lift", "control_lift", "word"), [
    (0.2, 0.0, "helps"), (0.2, 0.1, "helps"), (0.2, 0.2, "helps no more than it helps a random map"),
    (0.1, 0.3, "helps no more than it helps a random map"), (-0.1, 0.0, "costs"), (0.0, 0.2, "no difference shown"),
])  # fmt: skip
def test_planted_gains_are_named(lift, control_lift, word):
    found = asked(planted(lift=lift, control_lift=control_lift), seed=1)
    cam = row(found, "cam")
    assert cam["word"] == word
    assert cam["difference"] == pytest.approx(lift, abs=0.02) and cam["beyond"] == pytest.approx(lift - control_lift, abs=0.03)
    control = row(found, "random")
    assert control["control"] and not cam["control"] and math.isnan(control["beyond"]) and control["fair"] == ""


def test_lower_is_better_turns_the_words_and_not_the_numbers():
    down = row(asked(planted(lift=-0.2, control_lift=0.0, metric="deletion_auc")), "cam", "deletion_auc")
    assert down["word"] == "helps" and down["difference"] < 0 and down["direction"] == "lower"
    assert row(asked(planted(lift=0.2, control_lift=0.0, metric="deletion_auc")), "cam", "deletion_auc")["word"] == "costs"


def test_a_masked_map_that_is_no_better_than_masked_noise_is_told_so():
    rng = np.random.default_rng(2)
    noise = rng.random((4, 40))
    scores = table({"cam": noise[0], "random": noise[1], "segx(cam)": noise[2] + 1, "segx(random)": noise[3] + 1})
    found = row(asked(scores), "cam")
    assert found["word"] == "helps no more than it helps a random map" and found["fair"] == "not told apart"
    assert row(asked(planted()), "cam")["fair"] == "better"


def test_false_alarms_are_as_rare_as_promised():
    alarms = {"helps": 0, "costs": 0}
    for i in range(40):
        word = row(asked(planted(n=20, lift=0.0, control_lift=0.0, noise=0.1, seed=i), n_boot=200, seed=i), "cam")["word"]
        if word in alarms:
            alarms[word] += 1
    assert sum(alarms.values()) <= 6  # at most 5 % of 40 by design, with room for chance


def test_few_patients_claim_nothing():
    found = row(asked(planted(n=4, lift=0.5, control_lift=0.0)), "cam")
    assert found["word"] == "undefined" and found["fair"] == "" and "4 patients: too few" in found["note"]
    assert np.isfinite(found["difference_low"])
    one = row(asked(planted(n=1)), "cam")
    assert one["word"] == "undefined" and "one patient only" in one["note"] and math.isnan(one["difference_low"])


def test_what_has_no_answer_says_why():
    scores = planted()
    certain = scores.assign(metric="segu", value=np.tile(np.linspace(0, 1, 30), 4))  # the unmasked map: the same number
    found = row(asked(certain), "cam", "segu")
    assert found["word"] == "undefined" and "before it was refined" in found["note"] and found["difference"] == 0
    sideless = row(asked(scores.assign(metric="my_own")), "cam", "my_own")
    assert sideless["word"] == "undefined" and "no better side" in sideless["note"]
    nothing = row(asked(scores.assign(value=scores["value"].where(scores["method"] != "segx(cam)"))), "cam")
    assert nothing["word"] == "undefined" and nothing["note"] == "undefined in every case" and nothing["n"] == 0
    alone = row(asked(scores[scores["method"].isin(["cam", "segx(cam)"])]), "cam")
    assert alone["word"] == "helps" and "no refined control" in alone["note"] and math.isnan(alone["beyond"])


def test_two_refiners_have_a_control_each_and_other_methods_are_left_alone():
    scores = planted()
    other = scores[scores["method"].str.startswith("segx")].assign(method=lambda t: t["method"].str.replace("segx", "true"))
    both = pd.concat([scores, other, scores[scores["method"] == "cam"].assign(method="saliency")])
    pairs = pairs_of(both["method"], ["segx", "true", "absent"])
    assert [(p.method, p.by) for p in pairs] == [("cam", "segx"), ("random", "segx"), ("cam", "true"), ("random", "true")]
    found = refined(both, pairs, n_boot=100)
    assert list(found.columns) == COLUMNS and len(found) == 4
    one, two = found[found.by == "segx"], found[found.by == "true"]
    assert one["difference"].tolist() == two["difference"].tolist()
    empty = refined(scores, [])
    assert list(empty.columns) == COLUMNS and not len(empty)
    with pytest.raises(UsageError, match="no column 'value'"):
        refined(scores.drop(columns="value"), pairs)
    with pytest.raises(UsageError, match="n_boot"):
        refined(scores, pairs, n_boot=0)
