"""Ensembles of maps: equal to their literal twins, in closed forms; what is left out; what cannot be combined."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import pellucid as pc
from metric_worlds import attribution, world
from pellucid.core.case import Case
from pellucid.errors import InputError, UsageError
from pellucid.refine.combine import COMBINES, combined, prepared, unit_range
from pellucid.refine.ensemble import Ensemble
from pellucid.refine.make import as_refiner
from reference import ensemble as literal

SHAPES = [(30, 23), (15, 9, 8)]
WEIGHTS = [0.5, 2.0, 1.0, 0.0]
every = pytest.mark.parametrize("combine", COMBINES)


def case_of(shape, *, images=("x",), table=0) -> Case:
    g = torch.Generator().manual_seed(0)
    inputs = {n: torch.randn(1, *shape, generator=g) for n in images}
    return Case(id="c", inputs=inputs | ({"tab": torch.randn(table, generator=g)} if table else {}))


def maps_of(case: Case, n=4, *, seed=0, channels=False):
    """Maps that agree in part: a common one and noise, with negative values."""
    g = torch.Generator().manual_seed(seed)
    common = {k: torch.randn(v.shape if v.ndim == 1 else v.shape[1:], generator=g) for k, v in case.inputs.items()}
    coarse = {k: v if v.ndim == 1 else v.roll(3, 0).cumsum(0) / 3 for k, v in common.items()}
    found = []
    for i in range(n):
        noisy = {k: v + 0.5 * torch.randn(v.shape, generator=g) for k, v in coarse.items()}
        if channels:
            noisy = {k: torch.stack([v, v]) if v.ndim > 1 else v for k, v in noisy.items()}
        found.append(attribution(case, noisy, method=f"m{i}"))
    return found


def made_of(maps, combine, **more):
    return pc.ensemble(maps, combine, **({"weights": WEIGHTS[: len(maps)]} if combine == "weighted" else {}), **more)


@every
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("t", "block"), [(0.5, 7), (0.3, 4)])
def test_equals_its_twin(combine, shape, t, block):
    maps = maps_of(case_of(shape))
    e = made_of(maps, combine, t=t, block=block)
    value, votes = literal.ensemble([a.maps["x"].numpy() for a in maps], combine, t, block, WEIGHTS)
    np.testing.assert_allclose(e.maps["x"].numpy(), value, atol=1e-6)
    np.testing.assert_array_equal(e.refinement["votes"]["x"].numpy(), votes)
    assert value.max() == 1 and 0 < (value > 0).mean() <= 1  # the twin found something
    assert e.method == f"ensemble_{combine}" and e.refinement["of"] == ["m0", "m1", "m2", "m3"] and e.refinement["n"] == 4


@every
def test_the_order_and_the_scale_of_the_members_change_nothing(combine):
    maps = maps_of(case_of((22, 15)))
    e = made_of(maps, combine)
    scaled = [a.replace(maps={"x": a.maps["x"] * f}) for a, f in zip(maps, (1e-4, 3.0, 1e5, 1.0))]
    torch.testing.assert_close(made_of(scaled, combine).maps["x"], e.maps["x"], atol=1e-5, rtol=0)
    order = [2, 0, 3, 1]
    weights = {"weights": [WEIGHTS[i] for i in order]} if combine == "weighted" else {}
    turned = pc.ensemble([maps[i] for i in order], combine, **weights)
    torch.testing.assert_close(turned.maps["x"], e.maps["x"], atol=1e-6, rtol=0)
    assert torch.equal(turned.refinement["votes"]["x"], e.refinement["votes"]["x"])


@pytest.mark.parametrize("combine", ["rank", "borda"])
def test_a_rising_function_of_a_member_changes_nothing_where_order_alone_counts(combine):
    maps = maps_of(case_of((12, 10)))
    bent = [a.replace(maps={"x": f(a.maps["x"].double()).float()}) for a, f in zip(
        maps, (lambda v: v.clamp(min=0) ** 3, lambda v: v.clamp(min=0).sqrt(), torch.expm1, lambda v: v))]  # fmt: skip
    e, b = (pc.ensemble(m, combine, block=1) for m in (maps, bent))
    torch.testing.assert_close(b.maps["x"], e.maps["x"], atol=1e-6, rtol=0)
    other = pc.ensemble(bent, "average", block=1).maps["x"]
    assert not torch.allclose(other, pc.ensemble(maps, "average", block=1).maps["x"], atol=0.05)


def test_closed_forms():
    rows = np.array([[0.0, 0.4, 0.6, 1.0], [0.0, 0.7, 0.3, 1.0], [1.0, 0.9, 0.1, 0.0]])
    expected = {
        "threshold": ([0, 1.6 / 3, 0, 2 / 3], [1, 2, 1, 2]),
        "average": ([0, 2 / 3, 0, 2 / 3], [1, 3, 3, 2]),
        "intersection": ([0, 2 / 3, 0, 0], [1, 3, 2, 2]),
    }
    for combine, (value, votes) in expected.items():
        got = combined(rows, combine, t=0.5)
        np.testing.assert_allclose(got[0], value)
        np.testing.assert_array_equal(got[1], votes)
    # At the limits: 0.5 on average is nothing, 0.2 is no vote, t is one.
    edge = np.array([[0.5, 0.2, 0.25], [0.5, 1.0, 1.0]])
    assert combined(edge, "average")[0].tolist() == [0, 0.6, 0.625]
    assert combined(edge, "intersection")[1].tolist() == [2, 1, 2]
    assert combined(edge, "threshold", t=0.5)[1].tolist() == [2, 1, 1]
    np.testing.assert_allclose(combined(rows, "weighted", weights=np.array([1.0, 0, 3]))[0], [0.75, 0.775, 0.225, 0.25])
    tied = np.array([0.0, 0.0, 0.5, 1.0])
    np.testing.assert_allclose(prepared(tied, "rank") * 3, [0.5, 0.5, 2, 3])
    np.testing.assert_allclose(prepared(tied, "borda") * 3, [0, 0, 2, 3])  # a tie beats nobody
    assert not unit_range(np.full(5, 0.1) + 1e-17).any()


def test_equal_weights_are_the_mean_and_one_weight_is_its_map():
    maps = maps_of(case_of((21, 14)), 3)
    blocks = [pc.ensemble([a, a], "rank").maps["x"] for a in maps]  # one map twice
    equal = pc.ensemble(maps, "weighted", weights={"m0": 2, "m1": 2, "m2": 2})
    assert equal.refinement["weights"] == pytest.approx([1 / 3] * 3)
    only = pc.ensemble(maps, "weighted", weights={"m1": 5.0})
    assert only.refinement["weights"] == [0, 1, 0]
    order = lambda m: np.unique(m.numpy().ravel(), return_inverse=True)[1]  # noqa: E731
    np.testing.assert_array_equal(order(only.maps["x"]), order(blocks[1]))


def test_the_share_between_pictures_stays_and_a_tables_columns_have_a_scale_of_their_own():
    case = case_of((14, 14), images=("x", "y"), table=3)
    weak = {"x": torch.zeros(14, 14), "y": torch.zeros(14, 14), "tab": torch.tensor([0.0, 50.0, 100.0])}
    weak["x"][:7, :7], weak["y"][7:, 7:] = 4.0, 1.0
    e = pc.ensemble([attribution(case, weak, method=m) for m in ("a", "b")], "weighted", weights=[1, 1])
    assert e.maps["x"].max() == 1 and e.maps["y"].max() == pytest.approx(0.25)  # not lost beside the table's 100
    assert e.maps["tab"].tolist() == [0, 0.5, 1]
    assert e.refinement["votes"]["tab"].tolist() == [0, 2, 2]
    assert e.refinement["n_by_input"] == {"x": 2, "y": 2, "tab": 2}


def test_an_input_that_some_members_do_not_explain_is_combined_over_those_that_do():
    case = case_of((14, 14), table=4)
    maps = maps_of(case, 3)
    maps[0] = maps[0].replace(maps={"x": maps[0].maps["x"]})  # a CAM: no map of a table
    e = pc.ensemble(maps, "rank")
    assert e.refinement["n_by_input"] == {"x": 3, "tab": 2} and e.refinement["n"] == 3
    torch.testing.assert_close(e.maps["tab"], pc.ensemble(maps[1:], "rank").maps["tab"])


def test_channels_are_summed_before_negatives_are_clipped():
    case = case_of((14, 14))
    maps = maps_of(case, 3, channels=True)
    summed = [a.replace(maps={"x": a.spatial("x")}) for a in maps]
    assert torch.equal(pc.ensemble(maps).maps["x"], pc.ensemble(summed).maps["x"])
    assert pc.ensemble(maps).maps["x"].shape == (14, 14)


def test_constant_empty_and_broken_maps_are_left_out_and_n_falls():
    case = case_of((21, 21))
    good = maps_of(case, 2)
    flat = attribution(case, {"x": torch.full((21, 21), 0.3)}, method="flat")
    against = attribution(case, {"x": -torch.rand(21, 21)}, method="against")
    silent = attribution(case, {"x": torch.zeros(21, 21)}, method="silent").replace(flags=("empty", "no_effect"))
    broken = attribution(case, {"x": torch.full((21, 21), torch.nan)}, method="broken")
    e = pc.ensemble([good[0], flat, against, silent, broken, good[1]], "threshold")
    two = pc.ensemble(good, "threshold")
    assert torch.equal(e.maps["x"], two.maps["x"]) and torch.equal(e.refinement["votes"]["x"], two.refinement["votes"]["x"])
    assert e.refinement["n"] == 2 and len(e.refinement["of"]) == 6
    assert {x["method"]: x["why"] for x in e.refinement["left_out"]} == {
        "flat": "it is constant: the same in every block of 7", "against": "it is empty: it has no positive value",
        "silent": "it is empty: no region had an effect", "broken": "it holds values that are not finite",
    }  # fmt: skip
    assert "members_left_out" in e.flags and e.checks["finite"].status == "pass"
    assert e.refinement["said"] == ["Left out: flat, against, silent, broken."]


def test_one_map_that_is_left_is_said_and_none_is_an_empty_map():
    case = case_of((14, 14))
    good, empty = maps_of(case, 1)[0], attribution(case, {"x": torch.zeros(14, 14)}, method="empty")
    one = pc.ensemble([good, empty])
    assert "one_member" in one.flags
    assert one.refinement["said"][-1] == "One map is left, that of m0: there is nothing to agree with."
    none = pc.ensemble([empty, empty])
    assert not none.maps["x"].any() and "empty" in none.flags and none.refinement["n"] == 0
    says = "The ensemble is zero everywhere: all of its maps were left out, as they say nothing."
    assert none.checks["not_empty"].sentence == says and none.refinement["said"][-1] == says


def test_maps_that_agree_nowhere_are_an_empty_ensemble_and_it_says_why():
    case = case_of((7, 21))
    apart = [torch.zeros(7, 21) for _ in range(3)]
    for i, m in enumerate(apart):
        m[:, 7 * i : 7 * i + 7] = 1
    e = pc.ensemble([attribution(case, {"x": m}, method=f"m{i}") for i, m in enumerate(apart)], "threshold")
    assert not e.maps["x"].any() and e.refinement["n"] == 3 and e.refinement["votes"]["x"].unique().tolist() == [1]
    assert e.checks["not_empty"].sentence.endswith("there is no place on which enough of its maps agree.")


def test_maps_that_cancel_out_are_an_empty_ensemble_and_it_says_why():
    case = case_of((14, 14))
    m = torch.arange(4.0).reshape(2, 2).repeat_interleave(7, 0).repeat_interleave(7, 1)
    e = pc.ensemble([attribution(case, {"x": v}, method=n) for n, v in (("a", m), ("b", 3 - m))], "rank")
    assert not e.maps["x"].any() and "empty" in e.flags
    assert e.checks["not_empty"].sentence.endswith("its maps cancel out, together they are the same everywhere.")


def test_an_input_of_one_map_alone_is_said():
    case = case_of((14, 14), table=4)
    a, b = maps_of(case, 2)
    e = pc.ensemble([a, b.replace(maps={"x": b.maps["x"]})])
    assert e.refinement["n_by_input"] == {"x": 2, "tab": 1} and "one_member" not in e.flags
    assert e.refinement["said"] == ["tab: one map only, that of m0: there is nothing to agree with."]


def test_weights_of_maps_that_are_left_are_what_counts():
    case = case_of((14, 14))
    maps = [*maps_of(case, 2), attribution(case, {"x": torch.zeros(14, 14)}, method="empty")]
    e = pc.ensemble(maps, "weighted", weights=[1.0, 3.0, 96.0])
    assert e.refinement["weights"] == [0.25, 0.75, 0]
    left = pc.ensemble(maps, "weighted", weights=[0, 0, 1.0])
    assert left.refinement["weights"] == [0.5, 0.5, 0] and "x: the maps that are left have weight 0" in left.refinement["said"][1]
    torch.testing.assert_close(left.maps["x"], pc.ensemble(maps[:2], "weighted", weights=[1, 1]).maps["x"])


def test_maps_of_several_models_are_combined_if_they_call_the_target_alike():
    case = case_of((14, 14))
    a, b = maps_of(case, 2)
    a = a.replace(provenance={"model": "p", "weights": "1", "seed": 0}, score=1.0)
    b = b.replace(method="m0", provenance={"model": "q", "weights": "2", "seed": 0}, score=2.0)
    b = b.replace(target={**b.target, "k": 3, "index": 3})  # its classes come in another order
    e = pc.ensemble([a, b])
    assert e.provenance["models"] == ["p", "q"] and "weights" not in e.provenance and e.score == 1.5
    assert e.refinement["of"] == ["m0", "m0"]


def test_refinement_of_a_case_and_its_cost():
    w = world("classification 2-D + table")
    methods = ["saliency", "input_x_gradient", "random", "edge"]
    maps = pc.explain_many(w.predictor, [w.case], methods=methods, targets=["a", "b"])
    how = as_refiner("ensemble")
    made = how.refine([a for a in maps if how.takes(a)], w.case)
    assert [e.target["label"] for e in made] == ["a", "b"]
    assert all(e.refinement["of"] == ["saliency", "input_x_gradient"] for e in made)  # controls are not asked
    own = [a for a in maps if a.method in methods[:2] and a.target["label"] == "a"]
    assert made[0].cost.forwards == sum(a.cost.forwards for a in own)
    assert made[0].cost.backwards == sum(a.cost.backwards for a in own)


BAD = {
    "one map": (lambda m: pc.ensemble(m[:1]), UsageError, "ensemble: 1 map; give two or more"),
    "no map": (lambda _: pc.ensemble([]), UsageError, "ensemble: 0 maps; give two or more"),
    "no list": (lambda m: pc.ensemble(m[0], m[1]), UsageError, "give the maps as one list, pc.ensemble([a, b, c])"),
    "numbers": (lambda m: pc.ensemble([v.maps["x"] for v in m]), UsageError, "give the maps as one list"),
    "rule": (lambda m: pc.ensemble(m, "treshold"), UsageError, "unknown combine 'treshold'; did you mean 'threshold'?"),
    "t": (lambda m: pc.ensemble(m, t=1.2), UsageError, "t=1.2: give a number above 0 and up to 1"),
    "t nan": (lambda m: pc.ensemble(m, t=float("nan")), UsageError, "is not a finite number"),
    "block": (lambda m: pc.ensemble(m, block=0), UsageError, "block=0: give 1 or more pixels"),
    "large": (lambda m: pc.ensemble(m, block=15), InputError, "case c: block=15 is larger than the picture 'x' (14, 14)"),
    "case": (lambda m: pc.ensemble([m[0], m[1].replace(case_id="d")]), InputError, "the map of m1 is of case d; combine maps of one case"),
    "grid": (lambda m: pc.ensemble([m[0], m[1].replace(maps={"x": torch.rand(9, 9)})]), InputError,
             "the map of m0 for 'x' is (14, 14), that of m1 (9, 9); bring them to one grid"),
    "target": (lambda m: pc.ensemble([m[0], m[1].replace(target={**m[1].target, "label": "other"})]), InputError,
               "the map of m0 explains 'made', that of m1 'other'; combine maps of one target"),
    "no weights": (lambda m: pc.ensemble(m, "weighted"), UsageError, "combine='weighted' wants weights={method: weight}"),
    "few weights": (lambda m: pc.ensemble(m, "weighted", weights=[1.0]), UsageError, "1 weights for 2 maps; give one per map"),
    "negative": (lambda m: pc.ensemble(m, "weighted", weights=[1.0, -1]), UsageError, "weight of 'm1' is -1: give a number of 0 or more"),
    "zero": (lambda m: pc.ensemble(m, "weighted", weights=[0, 0]), UsageError, "weights: all are 0"),
    "unknown": (lambda m: pc.ensemble(m, "weighted", weights={"m0": 1, "m11": 1}), UsageError, "unknown method 'm11'; did you mean"),
    "unasked": (lambda m: pc.ensemble(m, "rank", weights=[1, 1]), UsageError, "combine='rank' takes no weights; 'weighted' does"),
    "a control's name": (lambda m: pc.ensemble(m, label="random"), UsageError, "label='random': give a name that is no method's"),
    "brackets": (lambda m: pc.ensemble(m, label="best(3)"), UsageError, "label='best(3)': give a name that is no method's, without brackets"),
    "most": (lambda _: Ensemble(combine="weighted", calibrate="val", most=0), UsageError, "most=0: give 1 or more cases"),
    "unmeasured": (lambda m: Ensemble(combine="weighted", calibrate="val").refine(m, case_of((14, 14))), UsageError,
                   "the weights of ensemble_weighted are to be measured on 'val': run the recipe"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_combined_is_said(what):
    call, error, says = BAD[what]
    with pytest.raises(error, match=re.escape(says)):
        call(maps_of(case_of((14, 14)), 2))


def test_a_method_that_failed_in_a_case_is_missing_and_said():
    case = case_of((14, 14))
    maps = maps_of(case, 2)
    how = as_refiner({"ensemble": {"of": ["m0", "m1", "gone"], "combine": "rank"}})
    (e,) = how.refine(maps, case)
    assert e.refinement["missing"] == ["gone"] and "members_missing" in e.flags
    assert e.refinement["said"] == ["There is no map of gone in this case."]
    assert torch.equal(e.maps["x"], pc.ensemble(maps, "rank").maps["x"])
    assert how.refine([], case) == []
