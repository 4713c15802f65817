"""Completeness, non-sensitivity and input invariance: closed forms, what they cost, what they leave as it was."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import pellucid as pc
from metric_worlds import ROWS, attribution, evidence, linear_world, of, world
from pellucid.api import evidence_of, explain
from pellucid.engine import Engine
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.shared.shift import shift_case, shift_predictor


def one(e: Evidence, place: int, name: str, **options):
    (s,) = e.view(place).scores([as_metric({name: options})]).values()
    return s


def made(where: str, methods: list, **more) -> Evidence:
    w = world(where)
    maps = [explain(w.predictor, w.case, method=m, seed=1, **o, **more) for m, o in methods]
    return evidence_of(Engine(w.predictor), w.case, maps, steps=6, **more)


# -- completeness -----------------------------------------------------------------------------------------------------


def test_completeness_is_that_of_the_method_s_own_baseline_and_costs_nothing_then():
    e = made("classification 2-D + table", [("integrated_gradients", {}), ("integrated_gradients", {"baseline": "blur"})])
    ROWS["seen"] = 0
    for i, a in enumerate(e.maps):
        s = one(e, i, "completeness")
        total = sum(float(m.double().sum()) for m in a.maps.values())
        assert s.value == pytest.approx(abs(total - a.notes["expected"]) / abs(a.notes["expected"]))
        assert s.value == pytest.approx(a.notes["completeness_error"]) and s.value < 0.02
    assert ROWS["seen"] == 0
    # With the fill of all metrics instead: pictures at their mean, the table as it is, so its map is not counted.
    with torch.no_grad():
        x, tab = e.case.inputs["im0"], e.case.inputs["tab"][None]
        f = lambda v: float(e.engine.predictor.module(v[None], tab)[0, e.target(0).index])  # noqa: E731
        change = f(x) - f(x.mean().expand_as(x))
    wanted = abs(float(e.maps[0].maps["im0"].sum()) - change) / abs(change)
    assert one(e, 0, "completeness", baseline="fill").value == pytest.approx(wanted, rel=1e-3)


def test_completeness_without_a_baseline_costs_both_ends_for_all_maps_together():
    e = evidence.__wrapped__("classification 3-D", ("saliency", "random", "edge"))
    ROWS["seen"] = 0
    values = [one(e, i, "completeness").value for i in range(3)]
    assert ROWS["seen"] == 2 and all(v > 0 for v in values)


def test_completeness_grows_with_the_map():
    predictor, case, exact = linear_world()
    maps = [exact.replace(maps={"x": k * exact.maps["x"]}) for k in (0.0, 1.0, 2.0, 3.0)]
    e = of(predictor, case, maps)
    assert [one(e, i, "completeness").value for i in range(4)] == pytest.approx([1, 0, 1, 2], abs=1e-5)


def test_completeness_where_the_fill_changes_nothing_is_undefined():
    predictor, case, exact = linear_world()
    flat = case.replace(inputs={"x": torch.full((1, 8, 8), 0.3)})
    s = one(of(predictor, flat, [attribution(flat, exact.maps, index=1)]), 0, "completeness")
    assert math.isnan(s.value) and "nothing to add up to" in s.reason


# -- non-sensitivity --------------------------------------------------------------------------------------------------


def test_non_sensitivity_counts_both_kinds_of_error():
    """An 8 × 8 picture in pixels: the model sees the lesion's 9 pixels of 64, and nothing else."""
    predictor, case, exact = linear_world()
    lesion = case.regions["lesion"]
    blind = lesion.clone()
    blind[2, 2] = False  # one pixel missed
    haze = lesion.clone()
    haze[7, :3] = True  # three pixels too many
    maps = [exact, *(attribution(case, {"x": m[None].float()}, index=1) for m in (blind, haze, ~lesion, lesion * -1.0))]
    e = of(predictor, case, maps)
    found = [one(e, i, "non_sensitivity", by="pixels").value for i in range(len(maps))]
    assert found == pytest.approx([0, 1 / 64, 3 / 64, 1, 0])


def test_a_faint_haze_counts_unless_eps_says_otherwise():
    predictor, case, exact = linear_world()
    hazy = exact.replace(maps={"x": exact.maps["x"] + 1e-4 * exact.maps["x"].max()})
    e = of(predictor, case, [hazy])
    assert one(e, 0, "non_sensitivity", by="pixels").value == pytest.approx(55 / 64)
    assert one(e, 0, "non_sensitivity", by="pixels", eps=1e-3).value == 0


def test_a_model_that_looks_at_nothing_wants_a_map_of_zeros():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    with torch.no_grad():
        net[1].weight.zero_()
    case = pc.Case(id="c", inputs={"x": torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1))})
    half = torch.zeros(1, 8, 8)
    half[0, :4] = 1
    e = of(pc.Predictor(net.eval(), inputs=["x"], task="regression"), case, [attribution(case, {"x": half}, kind="score")])
    assert one(e, 0, "non_sensitivity").value == pytest.approx(0.5)


# -- input invariance -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["classification 2-D + table", "regression 3-D", "segmentation 2 pictures"])
def test_what_is_the_model_s_alone_is_invariant_and_what_multiplies_with_the_picture_is_not(where):
    e = made(where, [
        ("saliency", {}), ("integrated_gradients", {"baseline": "mean", "n_steps": 24}), ("occlusion", {"fill": "mean", "window": 3, "stride": 2}),
        ("random", {}), ("input_x_gradient", {}), ("integrated_gradients", {"baseline": "zero", "n_steps": 24}),
    ])  # fmt: skip
    values = [one(e, i, "input_invariance").value for i in range(len(e.maps))]
    assert values[:4] == pytest.approx([0, 0, 0, 0], abs=1e-4)
    assert min(values[4:]) > 0.1


def test_the_distance_of_input_times_gradient_is_known():
    """A linear model: the map w ∘ x becomes w ∘ (x + c)."""
    predictor, case, _ = linear_world()
    a = explain(predictor, case, method="input_x_gradient", target=1)
    e = evidence_of(Engine(predictor), case, [a])
    x, w = case.inputs["x"], predictor.module.inner[1].weight[1].detach().view(1, 8, 8)
    for share in (1.0, -0.5):
        c = share * float(x.max() - x.min())
        wanted = float((w * c).norm() / (w * x).norm())
        assert one(e, 0, "input_invariance", shift=share).value == pytest.approx(wanted, rel=1e-4)


def test_the_shifted_model_says_the_same_and_the_user_s_stays_as_it_is():
    w = world("classification 2-D + table")
    stats = {"im0": ([0.4], [2.0])}
    p = pc.Predictor(w.predictor.module, inputs=["im0", "tab"], task="classification", classes=["a", "b", "c"], normalise=stats)
    other, case = shift_predictor(p, {"im0": 3.0}), shift_case(w.case, {"im0": 3.0})
    assert torch.equal(case.inputs["im0"], w.case.inputs["im0"] + 3) and torch.equal(case.inputs["tab"], w.case.inputs["tab"])
    assert other.module is p.module and float(p.normalise["im0"][0]) == pytest.approx(0.4)
    before = explain(p, w.case, method="saliency", target=1)
    after = explain(other, case, method="saliency", target=1)
    assert after.score == pytest.approx(before.score, rel=1e-5)
    assert torch.allclose(after.maps["im0"], before.maps["im0"], atol=1e-5)


def test_input_invariance_costs_the_method_once_for_each_map():
    e = evidence.__wrapped__("classification 2-D", ("saliency", "input_x_gradient"))
    ROWS["seen"] = 0
    for _ in range(2):
        for i in range(2):
            one(e, i, "input_invariance")
    assert ROWS["seen"] == 2


def test_layers_keep_their_names():
    w = world("classification 2-D")
    a = explain(w.predictor, w.case, method="grad_cam", layer="inner.convs.0")
    s = one(evidence_of(Engine(w.predictor), w.case, [a]), 0, "input_invariance")
    assert s.value == pytest.approx(0, abs=1e-4), s.reason


def test_the_background_is_shifted_too():
    w = world("regression 2 pictures")
    draw = lambda s: {n: torch.randn(x.shape, generator=torch.Generator().manual_seed(s)) for n, x in w.case.inputs.items()}  # noqa: E731
    background = [w.case.replace(id=f"b{s}", inputs=draw(s), regions={}) for s in range(3)]
    e = made("regression 2 pictures", [("expected_gradients", {"n_steps": 24})], background=background)
    assert one(e, 0, "input_invariance").value == pytest.approx(0, abs=1e-3)


def test_a_zero_map_is_no_invariant_map():
    predictor, case, _ = linear_world()
    zero = attribution(case, {"x": torch.zeros(1, 8, 8)}, index=1)
    s = one(of(predictor, case, [zero], [lambda *_, **__: [zero]]), 0, "input_invariance")
    assert math.isnan(s.value) and "zero everywhere" in s.reason
