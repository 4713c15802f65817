"""The rule that turns checks and comparisons into one verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pellucid.report.judge import FEW, FEWEST, base, judge, question_of

METRICS = {
    "deletion_auc": {"question": "faithfulness"}, "insertion_auc": {"question": "faithfulness"},
    "pointing_game": {"question": "plausibility"}, "gini": {"question": "complexity"},
}  # fmt: skip
DIRECTION = {"deletion_auc": "lower", "insertion_auc": "higher", "pointing_game": "higher", "gini": "higher"}


def verdicts(method="m", **share):
    """Ten maps; ``share[check]`` of them fail, in tenths."""
    rows = [
        {"method": method, "check": check, "status": "fail" if i < failing else "pass"}
        for check, failing in share.items() for i in range(10)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["method", "check", "status"])


def comparison(method="m", *, n=10, rank=1.0, **interval):
    rows = [
        {"metric": m, "method": method, "rank": rank, "n": n, "direction": DIRECTION[m], "difference_low": low,
         "difference_high": high}
        for m, (low, high) in interval.items()
    ]  # fmt: skip
    columns = ["metric", "method", "rank", "n", "direction", "difference_low", "difference_high"]
    return pd.DataFrame(rows, columns=columns)


BETTER = {"deletion_auc": (-0.4, -0.1), "insertion_auc": (0.1, 0.4)}
OPEN = {"deletion_auc": (-0.4, 0.1), "insertion_auc": (-0.1, 0.4)}
EDGES = comparison("edge", rank=2.0, **OPEN)
FINE = verdicts(finite=0, not_empty=0, stable=0, sane=0)


def of(v, c, method="m"):
    return next(j for j in judge(v, c, METRICS) if j.method == method)


def with_edges(c, rank=2.0):
    return pd.concat([c, EDGES.assign(rank=rank)])


def test_sound_and_better_is_trusted():
    j = of(FINE, with_edges(comparison(**BETTER)))
    assert j.word == "trust"
    assert j.better == ("deletion_auc", "insertion_auc")
    assert j.rank == 1.0


@pytest.mark.parametrize(
    ("v", "c", "word", "says"),
    [
        (verdicts(sane=0, finite=5), comparison(**BETTER), "do not rely on", "not finite"),
        (verdicts(sane=0, not_empty=5), comparison(**BETTER), "do not rely on", "5 of 10 maps are zero everywhere"),
        (verdicts(sane=0, not_empty=2), comparison(**BETTER), "with care", "2 of 10 maps are zero everywhere"),
        (verdicts(sane=0, complete=1), comparison(**BETTER), "trust", "pass the checks"),
        (verdicts(sane=0, complete=2), comparison(**BETTER), "with care", "2 of 10 maps do not add up"),
        (verdicts(sane=0, stable=10), comparison(**BETTER), "with care", "change under small noise"),
        (verdicts(finite=0), comparison(**BETTER), "with care", "was not tested"),
        (FINE, comparison(deletion_auc=(0.1, 0.4), insertion_auc=(-0.1, 0.4)), "do not rely on", "Worse than a random map in deletion auc"),
        (FINE, comparison(deletion_auc=(0.1, 0.4), insertion_auc=(0.1, 0.4)), "with care", "the measures disagree"),
        (verdicts(finite=0, sane=10), comparison(), "do not rely on", "hardly change"),
        (verdicts(finite=0), comparison(), "not judged", "not compared with a random map"),
        (FINE, comparison(n=FEW, **OPEN), "do not rely on", "No faithfulness measure tells it"),
        (FINE, comparison(n=FEW - 1, **OPEN), "with care", f"only {FEW - 1} cases"),
        (FINE, comparison(n=FEWEST - 1, **BETTER), "with care", "too few for trust"),
        (FINE, comparison(n=1, deletion_auc=(np.nan, np.nan)), "with care", "not compared with a random map"),
        (FINE, comparison(), "with care", "not compared with a random map"),
        (verdicts(), comparison(), None, None),
    ],
)  # fmt: skip
def test_one_reason_changes_the_word(v, c, word, says):
    if word is None:
        assert judge(v, c, METRICS) == []
        return
    j = of(v, c)
    assert j.word == word
    assert any(says in s for s in j.why), j.why


def test_a_map_that_survives_scrambling_must_beat_random_and_the_edges():
    insane = verdicts(sane=10)
    assert of(insane, with_edges(comparison(**BETTER))).word == "with care"
    assert of(insane, with_edges(comparison(**BETTER), rank=1.0)).word == "do not rely on"
    assert of(insane, comparison(**BETTER)).word == "do not rely on"  # no edges were run: nothing speaks for it
    assert of(insane, with_edges(comparison(n=4, **OPEN))).word == "do not rely on"


def test_not_above_the_edges_is_no_trust():
    assert of(FINE, with_edges(comparison(rank=3.0, **BETTER))).word == "with care"


def test_nothing_known_is_not_judged():
    untested = pd.DataFrame({"method": ["m"], "check": ["finite"], "status": ["not tested"]})
    assert of(untested, comparison()).word == "not judged"


def test_order_controls_last_then_rank():
    table = pd.concat([comparison("b", rank=2.0, **BETTER), comparison("a", rank=3.0, **BETTER),
                       comparison("random", rank=1.0, **OPEN), comparison("bad", rank=1.0, n=20, **OPEN)])  # fmt: skip
    v = pd.concat([verdicts(m, sane=0) for m in ("a", "b", "bad", "random")])
    assert [(j.method, j.word) for j in judge(v, table, METRICS)] == [
        ("b", "trust"), ("a", "trust"), ("bad", "do not rely on"), ("random", "control"),
    ]  # fmt: skip


def test_other_questions_change_neither_word_nor_rank():
    extra = comparison(rank=9.0, gini=(-0.4, -0.1))
    j = of(FINE, with_edges(pd.concat([comparison(**BETTER), extra])))
    assert (j.word, j.rank) == ("trust", 1.0)


def test_names_with_options_and_inputs():
    assert base("pointing_game(tolerance=5)[ct]") == "pointing_game"
    assert question_of("pointing_game(tolerance=5)", METRICS) == "plausibility"
    assert question_of("unheard_of", METRICS) == ""


def test_many_measures_do_not_make_trust_harder():
    """Twenty measures beside the deciding ones: one of them is worse than chance by chance, and decides nothing."""
    from pellucid.report.judge import deciding

    metrics = {"deletion_auc": {"question": "faithfulness"}, "monotonicity": {"question": "faithfulness"},
               "dice": {"question": "plausibility"}}  # fmt: skip
    assert deciding(["monotonicity", "deletion_auc(by=blocks)", "dice"], metrics) == ["deletion_auc(by=blocks)"]
    assert deciding(["monotonicity", "dice"], metrics) == ["monotonicity"]
    assert deciding(["dice"], metrics) == []


def test_refined_controls_are_controls():
    rows = pd.concat([verdicts("segx(random)", finite=0), verdicts("segx(m)", finite=0), verdicts("random", finite=0)])
    words = {j.method: (j.word, j.why) for j in judge(rows, comparison("x").iloc[:0], METRICS)}
    assert {m: w for m, (w, _) in words.items()} == {"segx(random)": "control", "random": "control", "segx(m)": "not judged"}
    assert words["segx(random)"][1] != words["random"][1]


def test_a_masked_map_is_not_praised_for_beating_an_unmasked_control():
    fine = verdicts("segx(m)", finite=0, not_empty=0, stable=0, sane=0)
    alike = comparison("segx(edge)", rank=2.0, **OPEN)
    j = of(fine, pd.concat([comparison("segx(m)", **BETTER), alike]), "segx(m)")
    assert j.word == "trust" and "refined alike" in " ".join(j.why)
    worse = of(fine, pd.concat([comparison("segx(m)", **BETTER), alike.assign(rank=0.5), EDGES]), "segx(m)")
    assert worse.word == "with care" and any("edges" in w for w in worse.why)  # those that were masked, not EDGES
    nothing = dict.fromkeys(BETTER, (np.nan, np.nan))
    alone = of(fine, with_edges(comparison("segx(m)", **nothing)), "segx(m)")
    assert alone.word == "with care" and "It was not compared with a random map that was refined alike." in alone.why


def test_evidence_that_the_mask_hides_is_said():
    hidden = verdicts("segx(m)", finite=0, not_empty=0, stable=0, sane=0, inside=6)
    j = of(hidden, comparison("segx(m)", **BETTER), "segx(m)")
    assert j.word == "with care" and "6 of 10 maps have most of their evidence hidden by the mask." in j.why
