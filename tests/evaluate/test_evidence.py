"""Shared evidence: how many passes, what is frozen, what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from metric_worlds import ROWS, attribution, evidence, linear_world, of, world
from pellucid.api import evaluate, evidence_of, explain, explain_many
from pellucid.core.case import Case
from pellucid.core.metric import Metric, Score
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.core.verdict import Thresholds
from pellucid.engine import Engine
from pellucid.errors import InputError, ModelError, UsageError
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.run import as_metric, base_name, labels, score_table
from pellucid.evaluate.shared.copies import copies
from pellucid.evaluate.shared.randomise import randomise, randomised
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.verdicts import full

CURVES = [as_metric(n) for n in ("deletion_auc", "insertion_auc", "aopc")]


def rows(action) -> int:
    """Inputs that went through the module, counted by the module."""
    ROWS["seen"] = 0
    action()
    return ROWS["seen"]


# -- passes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("methods", [("saliency",), ("saliency", "random", "edge")])
@pytest.mark.parametrize("where", ["classification 3-D", "regression 2 pictures", "segmentation 2 pictures"])
def test_curves_cost_what_the_budget_says(where, methods):
    steps = 6
    e = evidence.__wrapped__(where, methods)
    before = e.engine.cost.forwards
    seen = rows(lambda: [e.view(i).scores(CURVES) for i in range(len(methods))])
    assert seen == len(methods) * 2 * (steps - 1) + 2
    assert e.engine.cost.forwards - before == seen  # the engine's own count agrees with the module's
    assert rows(lambda: [e.view(i).scores(CURVES) for i in range(len(methods))]) == 0


def test_curves_of_several_targets_still_share_both_ends():
    w = world("classification 2-D")
    maps = explain_many(w.predictor, [w.case], methods=["saliency", "random"], targets=[0, 1, 2])
    e = evidence_of(Engine(w.predictor), w.case, maps, steps=5)
    assert rows(lambda: e.view(3).scores(CURVES)) == len(maps) * 2 * 4 + 2
    # Each map on its own target: the curve begins at the probability of its own class.
    with torch.no_grad():
        p = w.predictor.module(w.case.inputs["im0"][None]).softmax(1)[0]
    for i, a in enumerate(maps):
        assert float(e.view(i).curves.probability[0, 0]) == pytest.approx(float(p[a.target["index"]]), rel=1e-4)
        assert float(e.view(i).curves.deletion[0]) == pytest.approx(a.score, rel=1e-4)


def test_modalities_cost_two_to_the_n_for_all_maps_together():
    e = evidence.__wrapped__("classification 2-D + table")
    names = [as_metric("ablation_share"), as_metric("shapley_share")]
    assert rows(lambda: [e.view(i).scores(names) for i in range(len(e.maps))]) == 4


def test_noisy_copies_cost_one_explanation_each_and_serve_metric_and_verdict():
    e = evidence.__wrapped__("classification 2-D", ("saliency",))
    metric = as_metric("stability_pearson")
    assert rows(lambda: e.view(0).scores([metric])) == 2  # one forward per draw gives score and gradient
    assert rows(lambda: e.noisy(0)) == 0
    # New: the random model's map, the controls (one pass each) and the curves of all three (steps=6), with both ends.
    assert rows(lambda: full(e)) == 1 + 2 + 3 * 2 * 5 + 2
    assert rows(lambda: e.view(0).scores([as_metric("max_sensitivity")])) == 3


def test_the_random_model_is_made_once_per_engine_and_seed(monkeypatch):
    from pellucid.evaluate.shared import randomise as module

    made = []
    original = module.randomise
    monkeypatch.setattr(module, "randomise", lambda p, seed: made.append(seed) or original(p, seed))
    w = world("classification 2-D")
    engine = Engine(w.predictor)
    for case in (w.case, w.case.replace(id="w2"), w.case.replace(id="w3")):
        full(evidence_of(engine, case, [explain(w.predictor, case, method="saliency")]))
    assert made == [0]
    assert randomised(engine, 0) is randomised(engine, 0)
    assert randomised(engine, 1) is not randomised(engine, 0)
    assert made == [0, 1]


# -- randomised weights -----------------------------------------------------------------------------------------------


def test_random_weights_keep_size_and_statistics_and_forget_the_rest():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 2))
    net.train()(torch.randn(4, 1, 8, 8))
    net[1].weight.data.uniform_(0.5, 2)
    p = Predictor(net.eval(), inputs=["x"], task="classification", classes=["a", "b"])
    before = {k: v.clone() for k, v in net.state_dict().items()}
    other = randomise(p, 3).module.state_dict()
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    for key in ("1.running_mean", "1.running_var"):
        assert torch.equal(other[key], before[key])
    for key in ("0.weight", "4.weight"):
        old, new = before[key].flatten(), other[key].flatten()
        assert abs(float(torch.corrcoef(torch.stack([old, new]))[0, 1])) < 0.35
        assert float(new.square().mean().sqrt()) == pytest.approx(float(old.square().mean().sqrt()), rel=0.3)
    assert torch.equal(other["1.weight"].sort().values, before["1.weight"].sort().values)
    again = randomise(p, 3).module.state_dict()
    assert all(torch.equal(other[k], again[k]) for k in other)
    assert not torch.equal(randomise(p, 4).module.state_dict()["0.weight"], other["0.weight"])


# -- copies -----------------------------------------------------------------------------------------------------------


def test_copies_have_the_noise_that_was_asked_for_in_units_of_each_input():
    net = nn.Linear(1, 1)
    p = Predictor(net.eval(), inputs=["im", "tab"], task="regression", normalise={"tab": ([50.0, 0.0], [10.0, 0.1])})
    case = Case(id="c", inputs={"im": torch.linspace(-1000, 1000, 64 * 64).view(1, 64, 64), "tab": torch.tensor([60.0, 0])})
    from pellucid.core.target import Bound
    from pellucid.core.target import Score as ScoreTarget
    from pellucid.engine import Problem

    problem = Problem(Engine(p), [case], [ScoreTarget(0)], frozen=[[Bound(0, "s")]])
    made = copies(problem, "normal", 0.01, 40, "t")
    noise = torch.stack([c.inputs["im"] - case.inputs["im"] for c in made])
    assert float(noise.std()) == pytest.approx(20.0, rel=0.02)
    table = torch.stack([c.inputs["tab"] - case.inputs["tab"] for c in made])
    assert table.std(0).tolist() == pytest.approx([0.1, 0.001], rel=0.35)
    jitter = torch.stack([c.inputs["im"] - case.inputs["im"] for c in copies(problem, "uniform", 0.1, 3, "t")])
    assert 190 < float(jitter.abs().max()) <= 200.001 and float(jitter.mean()) == pytest.approx(0, abs=3)
    flat = case.replace(inputs={"im": torch.zeros(1, 4, 4)})
    lone = Predictor(net.eval(), inputs=["im"], task="regression")
    with pytest.raises(Undefined, match="constant"):
        copies(Problem(Engine(lone), [flat], [ScoreTarget(0)], frozen=[[Bound(0, "s")]]), "normal", 0.01, 2, "t")


def test_class_and_region_stay_when_copies_are_explained():
    e = evidence.__wrapped__("segmentation 2 pictures", ("saliency",))
    for a in (*e.noisy(0), *e.jittered(0), e.randomised(0)):
        assert a.target["index"] == e.maps[0].target["index"]
    # The random model would predict another region; the score explained is that of the clean region.
    engine = randomised(e.engine, 0)
    with torch.no_grad():
        out = engine.module(*[e.case.inputs[n][None] for n in engine.predictor.inputs])[0]
    b = e.target(0)
    assert e.randomised(0).score == pytest.approx(float((out[b.index] * b.weight).sum()), rel=1e-3)


# -- curves -----------------------------------------------------------------------------------------------------------


def test_a_flat_map_is_at_chance_and_not_in_raster_order():
    """The lesion lies in the upper left: in raster order a flat map would look good."""
    predictor, case, exact = linear_world((16, 16))
    flat = attribution(case, {"x": torch.ones(1, 16, 16)}, index=1)
    e = of(predictor, case, [exact, flat], steps=20)
    good, chance = (e.view(i).scores([as_metric({"deletion_auc": {"on": "normalised"}})])["deletion_auc"].value for i in (0, 1))
    assert good < 0.1
    assert chance == pytest.approx(0.5, abs=0.15)


def test_a_score_that_falls_below_its_fill_ranks_the_negative_part_first():
    """Regression: the lesion *lowers* the score. The exact map is negative there, and is a good map."""
    shape = (8, 8)
    _, case, _ = linear_world(shape)
    lesion = case.regions["lesion"]
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    with torch.no_grad():
        net[1].weight[0] = -lesion.flatten().float()
    p = Predictor(net.eval(), inputs=["x"], task="regression")
    exact = -1.0 * lesion * (case.inputs["x"] - case.inputs["x"].mean())
    e = of(p, case, [attribution(case, {"x": exact}, kind="score")])
    found = e.view(0).scores(CURVES)
    assert found["deletion_auc"].value < 0.2 < 0.8 < found["insertion_auc"].value


def test_tables_stay_clean_while_pixels_go():
    e = evidence.__wrapped__("classification 2-D + table", ("saliency",))
    w = world("classification 2-D + table")
    picture = w.case.inputs["im0"]
    with torch.no_grad():
        empty = w.predictor.module(picture.mean().expand_as(picture)[None], w.case.inputs["tab"][None])[0]
    k = e.target(0).index
    assert float(e.view(0).curves.insertion[0]) == pytest.approx(float(empty[k]), rel=1e-4)


def test_a_model_that_ignores_its_picture_has_no_normalised_curve():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    nn.init.zeros_(net[1].weight)
    p = Predictor(net.eval(), inputs=["x"], task="regression")
    _, case, exact = linear_world()
    e = of(p, case, [attribution(case, {"x": exact.maps["x"]}, kind="score")])
    for s in e.view(0).scores(CURVES).values():
        assert math.isnan(s.value) and "nothing to delete" in s.reason


def test_probability_is_for_classifications_and_normalised_for_a_class_the_picture_supports():
    e = evidence("regression 2 pictures")
    (s,) = e.view(0).scores([as_metric({"deletion_auc": {"on": "probability"}})]).values()
    assert math.isnan(s.value) and "normalised" in s.reason
    predictor, case, exact = linear_world()
    against = exact.replace(target={**exact.target, "k": 0, "index": 0})
    flipped = Predictor(_Negated(predictor.module).eval(), inputs=["x"], task="classification", classes=["none", "lesion"])
    (s,) = of(flipped, case, [exact]).view(0).scores([as_metric({"aopc": {"on": "normalised"}})]).values()
    assert math.isnan(s.value) and "fill speaks more" in s.reason
    assert math.isfinite(of(predictor, case, [against]).view(0).scores([as_metric("aopc")])["aopc"].value)


class _Negated(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return -self.inner(x)


def test_maps_without_images_or_with_nan_have_no_curve_and_cost_nothing():
    w = world("classification 2-D + table")
    only = attribution(w.case, {"tab": torch.ones(5)})
    broken = attribution(w.case, {"im0": torch.full((1, 10, 12), math.nan)})
    fine = attribution(w.case, {"im0": torch.rand(1, 10, 12)})
    e = of(w.predictor, w.case, [only, broken, fine], steps=4)
    assert rows(e.ranked) == 2 * 3 + 2
    found = [e.view(i).scores(CURVES)["aopc"] for i in range(3)]
    assert "no map of an image" in found[0].reason and "NaN" in found[1].reason and math.isfinite(found[2].value)


def test_a_picture_without_a_map_is_deleted_last():
    w = world("regression 2 pictures")
    half = attribution(w.case, {"im1": torch.rand(1, 9, 9)}, kind="score")
    e = of(w.predictor, w.case, [half], steps=2)  # after the first half of the pixels exactly im1 is gone
    filled = [w.case.inputs["im0"], w.case.inputs["im1"].mean().expand(1, 9, 9)]
    with torch.no_grad():
        want = float(w.predictor.module(*[v[None] for v in filled])[0, 0])
    assert float(e.view(0).curves.deletion[1]) == pytest.approx(want, rel=1e-4)


# -- plausibility -----------------------------------------------------------------------------------------------------


def test_only_the_positive_part_can_point_at_a_finding():
    predictor, case, _ = linear_world()
    lesion = case.regions["lesion"]
    e = of(predictor, case, [attribution(case, {"x": torch.where(lesion, 1.0, -5.0)[None]}, index=1)])
    for name in ("pointing_game", "mass_accuracy", "dice", "iou", "average_precision"):
        assert e.view(0).scores([as_metric(name)])[name].value == 1


def test_several_pictures_are_added_up():
    w = world("regression 2 pictures")
    lesion = w.case.regions["lesion"]
    maps = {"im0": 3.0 * lesion[None], "im1": 1.0 * (~lesion)[None]}
    e = of(w.predictor, w.case, [attribution(w.case, maps, kind="score")])
    inside, outside = 3.0 * int(lesion.sum()), float((~lesion).sum())
    assert e.view(0).scores([as_metric("mass_accuracy")])["mass_accuracy"].value == pytest.approx(inside / (inside + outside))


def test_the_true_mask_can_be_the_region():
    w = world("segmentation 2 pictures")
    truth = torch.zeros(9, 9, dtype=torch.int64)
    truth[0, 0], truth[5:, 5:] = 1, 2
    case = w.case.replace(truth=truth)
    a = attribution(case, {"im0": torch.eye(9)[None], "im1": torch.zeros(1, 9, 9)}, kind="region", index=1)
    e = of(w.predictor, case, [a], region="truth")
    assert e.view(0).region is not None and int(e.view(0).region.sum()) == 1
    assert e.view(0).scores([as_metric("pointing_game")])["pointing_game"].value == pytest.approx(1 / 9)
    bare = of(w.predictor, w.case, [a], region="truth").view(0)
    assert bare.region is None and "no true mask" in bare.region_reason


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused():
    w = world("classification 2-D")
    a = explain(w.predictor, w.case, method="saliency", target=0)
    e = evidence_of(Engine(w.predictor), w.case, [a])
    with pytest.raises(UsageError, match="do not fit together"):
        Evidence(e.engine, w.case, [a, a], e.bound, e.again)
    with pytest.raises(UsageError, match="2 or more"):
        evidence_of(Engine(w.predictor), w.case, [a], steps=1)
    with pytest.raises(InputError, match="of case w1, not of other"):
        Evidence(e.engine, w.case.replace(id="other"), [a], e.bound, e.again)
    with pytest.raises(InputError, match="the model that was explained"):
        Evidence(e.engine, w.case, [a.replace(target={**a.target, "index": 2})], e.bound, e.again)
    with pytest.raises(UsageError, match="did you mean 'steps'"):
        evaluate(w.predictor, w.case, a, stpes=3)


def test_names_of_metrics_and_options():
    with pytest.raises(UsageError, match="did you mean 'deletion_auc'"):
        as_metric("deletion_auk")
    with pytest.raises(UsageError, match="did you mean 'tolerance'"):
        as_metric({"pointing_game": {"tolerence": 3}})
    with pytest.raises(UsageError, match="0 pixels or more"):
        as_metric({"pointing_game": {"tolerance": -1}})
    with pytest.raises(UsageError, match="did you mean 'probability'"):
        as_metric(("deletion_auc", {"on": "probabilty"}))
    with pytest.raises(UsageError, match="share of the map's maximum"):
        as_metric({"dice": {"at": 0}})
    with pytest.raises(UsageError, match="known: mean, sum"):
        as_metric({"attribution_share": {"form": "x"}})
    with pytest.raises(UsageError, match="give a name"):
        as_metric(3)
    with pytest.raises(UsageError, match="one name and its options"):
        as_metric({"dice": {}, "iou": {}})
    with pytest.raises(UsageError, match="2 times"):
        labels([as_metric("dice"), as_metric("dice")])
    assert base_name("attribution_share(form=sum)[ct[0]]") == "attribution_share"
    metric = as_metric("dice")
    assert as_metric(metric) is metric


def test_a_method_that_cannot_be_repeated_leaves_a_reason_not_a_crash():
    w = world("classification 2-D")
    a = explain(w.predictor, w.case, method="saliency").replace(method="drawn_by_hand")
    found, _ = score_table(evidence_of(Engine(w.predictor), w.case, [a]), [as_metric("stability_pearson"), as_metric("gini")])
    assert math.isnan(found[0]["value"]) and "drawn_by_hand" in found[0]["reason"]
    assert math.isfinite(found[1]["value"])


def test_a_programming_error_is_not_swallowed():
    class Broken(Metric):
        def score(self, view):
            return Score(1 / 0)

    with pytest.raises(ZeroDivisionError):
        evidence("classification 2-D").view(0).scores([Broken()])

    def fails(engine, cases, bound):
        raise ModelError("the model burst")

    predictor, case, exact = linear_world()
    (s,) = of(predictor, case, [exact], [fails]).view(0).scores([as_metric("stability_pearson")]).values()
    assert "the model burst" in s.reason


def test_the_table_of_scores():
    w = world("classification 2-D")
    case = w.case.replace(group="patient-7", regions={})
    maps = explain_many(w.predictor, [case], methods=["saliency", "random"], targets=[ClassScore("b"), 0])
    table, _ = score_table(evidence_of(Engine(w.predictor), case, maps), [as_metric("gini"), as_metric("dice")])
    assert len(table) == 8
    assert {r["group"] for r in table} == {"patient-7"} and {r["method"] for r in table} == {"saliency", "random"}
    assert {(r["target_index"], r["target"]) for r in table} == {(1, "b"), (0, "a")}
    assert all((r["reason"] == "") == (r["metric"] == "gini") == math.isfinite(r["value"]) for r in table)


def test_one_map_or_several_from_the_public_face():
    w = world("classification 2-D")
    a = explain(w.predictor, w.case, method="saliency")
    one = evaluate(w.predictor, w.case, a, metrics=["gini", "pointing_game"])
    two = evaluate(w.predictor, w.case, [a, a], metrics=["gini", "pointing_game"], thresholds=Thresholds(draws=1))
    assert set(one) == {"gini", "pointing_game"} and two == [one, one]


def test_a_metric_of_ones_own_is_one_small_class():
    from dataclasses import dataclass

    @dataclass(frozen=True, kw_only=True)
    class Brightest(Metric):
        """The largest value of the map."""

        def score(self, view):
            return Score(float(view.vector.max()))

    e = evidence("classification 2-D")
    (s,) = e.view(0).scores([Brightest()]).values()
    assert s.value == float(e.maps[0].spatial("im0").max())
