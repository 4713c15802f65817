"""Average drop and increase, ADCC, ARCC: against twins and the authors' code, their passes and their refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from torch import nn

from metric_worlds import ROWS, attribution, evidence, linear_world, of, world
from peers import peer
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.evaluate.run import as_metric
from reference import metric_soft as literal

SOFT = ["average_drop", "average_increase", "adcc", "arcc"]


def values(e, *metrics, place: int = 0) -> dict[str, float]:
    found = e.view(place).scores([as_metric(m) for m in metrics])
    assert all(s.reason == "" for s in found.values()), found
    return {k: s.value for k, s in found.items()}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    "where", ["classification 2-D + table", "classification 3-D", "regression 2 pictures", "segmentation 2 pictures"]
)
def test_they_equal_their_twins(where, place):
    e = evidence(where)
    w, a, bound = world(where), e.maps[place], e.target(place)
    names = [n for n in w.predictor.inputs if w.case.inputs[n].ndim > 1]
    probability = w.predictor.task == "classification"
    pictures = [w.case.inputs[n].numpy().astype(float) for n in names]
    fills = [np.full_like(x, 0.2) for x in pictures]

    def f(shown):
        given = dict(zip(names, shown))
        x = [torch.as_tensor(given[n]).float() if n in given else w.case.inputs[n] for n in w.predictor.inputs]
        with torch.no_grad():
            out = w.predictor.module(*[v[None] for v in x])[0]
        if bound.weight is not None:
            return float((out[bound.index] * bound.weight).sum())
        return float(out.softmax(0)[bound.index]) if probability else float(out[bound.index])

    whole, empty = f(pictures), f(fills)
    turn = -1 if a.signed and not probability and whole < empty else 1
    weights = literal.masks([turn * a.spatial(n).numpy().astype(float) for n in names])
    shown = literal.through(pictures, fills, weights)
    masked = f(shown)
    if not probability:
        whole, masked = 1.0, (masked - empty) / (whole - empty)
    drop = literal.average_drop(whole, min(max(masked, 0), 1))
    case = w.case.replace(inputs={**w.case.inputs, **{n: torch.as_tensor(s).float() for n, s in zip(names, shown)}})
    (again,) = e.again[place](e.engine, [case], e.bound)
    seen_again = np.concatenate([np.maximum(turn * again.spatial(n).numpy(), 0).ravel() for n in names])
    r = pearsonr(np.concatenate([m.ravel() for m in weights]), seen_again).statistic
    simple = 1 - literal.complexity(weights)
    got = values(e, *({m: {"fill": 0.2}} for m in ("average_drop", "average_increase", "adcc")), place=place)
    assert got["average_drop"] == pytest.approx(drop, abs=2e-4)
    assert got["average_increase"] == float(masked > whole + 1e-6)
    assert got["adcc"] == pytest.approx(literal.harmonic([1 - drop, (r + 1) / 2, simple]), abs=5e-4)
    road = values(e, {"road": {"percentages": (20, 40, 60, 80)}}, place=place)["road"]
    arcc = values(e, {"arcc": {"fill": 0.2}}, place=place)["arcc"]
    assert arcc == pytest.approx(literal.harmonic([min(max(2 * road, 0), 1), (r + 1) / 2, simple]), abs=5e-4)


def test_arcc_equals_the_authors_implementation():
    """Their ROAD needs pixels that 10 % divides, their noise off; their masked picture is filled with zero."""
    arcc = peer("pytorch_grad_cam.metrics.arcc")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(400, 3)).eval()
    x = torch.randn(2, 10, 10)
    cam = torch.rand(10, 10, generator=torch.Generator().manual_seed(3))
    cam = (cam - cam.min()) / (cam.max() - cam.min())
    with torch.no_grad():
        k = int(net(x[None]).argmax())
        weight = net[3].weight[k].view(4, 10, 10).abs().mean(0)

    def explain(input_tensor, targets=None):
        return (input_tensor.abs().mean(1) * weight).numpy()  # any method: a deterministic function of the picture

    theirs = arcc.ARCC(base_method=explain)
    road = theirs.road
    for averager in (road.morf_averager, road.lerf_averager):
        made = averager.imputer

        def silent(percentile, made=made):
            metric = made(percentile)
            metric.perturbation.imputer.noise = 0.0
            return metric

        averager.imputer = silent
    with torch.no_grad():
        want = theirs(x[None], cam.numpy()[None], [lambda out: out.softmax(0)[k]], net)[0]

    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b", "c"])
    case = Case(id="a", inputs={"x": x})

    def again(engine, cases, bound, **more):
        return [attribution(c, {"x": torch.as_tensor(explain(c.inputs["x"][None]))}, index=k, signed=False) for c in cases]

    a = attribution(case, {"x": cam[None]}, index=k, signed=False)
    got = values(of(p, case, [a], [again]), {"arcc": {"noise": 0.0, "fill": "zero"}})["arcc"]
    assert want > 0
    assert got == pytest.approx(float(want), abs=1e-4)


def test_they_share_their_passes():
    e = evidence.__wrapped__("classification 2-D", ("saliency", "input_x_gradient", "random"))
    ROWS["seen"] = 0
    for place in range(3):
        values(e, "average_drop", "average_increase", place=place)
    assert ROWS["seen"] == 3 + 2  # one masked picture each, f(x) and f(fill) once
    values(e, "adcc", place=0)
    assert ROWS["seen"] == 3 + 2 + 1  # the masked picture explained: one pass gives score and gradient
    e.view(0).scores([as_metric("arcc")])
    assert ROWS["seen"] == 3 + 2 + 1 + 3 * 2 * 4  # ROAD of all three maps at once; coherency was there
    for place in (1, 2):
        e.view(place).scores([as_metric({"road": {"percentages": [20, 40, 60, 80]}})])
    assert ROWS["seen"] == 3 + 2 + 1 + 3 * 2 * 4
    e.view(0).scores([as_metric("road")])
    assert ROWS["seen"] == 3 + 2 + 1 + 3 * 2 * 9  # 20, 40, 60 and 80 % were there
    values(e, {"average_drop": {"fill": "mean"}})
    assert ROWS["seen"] == 3 + 2 + 1 + 3 * 2 * 9  # the evaluation's own fill, spelled out


def test_a_map_of_what_speaks_for_the_class_alone_raises_the_answer():
    predictor, case, _ = linear_world()
    lesion = case.regions["lesion"]
    x = case.inputs["x"].clone()
    x[0][lesion] = torch.where(torch.arange(int(lesion.sum())) % 2 == 0, 1.0, -1.0)  # half of it speaks against
    case = case.replace(inputs={"x": x})
    bright = (x * lesion).clamp(min=0)
    dark = (-x * lesion).clamp(min=0)
    e = of(predictor, case, [attribution(case, {"x": m}, index=1) for m in (bright, dark)], fill=0)
    good, bad = (values(e, "average_increase", "average_drop", place=i) for i in (0, 1))
    assert good == {"average_increase": 1, "average_drop": 0}
    assert bad["average_increase"] == 0 and bad["average_drop"] > 0.5


def test_a_map_of_everything_keeps_the_answer_and_pays_in_complexity():
    predictor, case, exact = linear_world()
    everything = torch.ones(1, 8, 8)
    everything[0, 0, 0] = 0
    steady = [lambda engine, cases, bound, m=m: [m] * len(cases) for m in (exact, attribution(case, {"x": everything}, index=1))]
    e = of(predictor, case, [exact, attribution(case, {"x": everything}, index=1)], steady)
    drop = [values(e, "average_drop", place=i)["average_drop"] for i in (0, 1)]
    adcc = [values(e, "adcc", place=i)["adcc"] for i in (0, 1)]
    assert drop[1] < drop[0] < 0.1  # by the drop alone the map of everything is the better one
    assert adcc[1] < 0.1 < 0.8 < adcc[0]
    parts = {n: v for n, _, v in e.view(1).scores([as_metric("adcc")])["adcc"].parts}
    assert parts["coherency"] == pytest.approx(1) and parts["1 - complexity"] == pytest.approx(1 / 64)


def test_what_does_not_exist_says_why():
    predictor, case, exact = linear_world()
    negative, flat = -torch.rand(1, 8, 8), torch.ones(1, 8, 8)
    maps = [attribution(case, {"x": m}, index=1) for m in (negative, flat)]

    def silent(engine, cases, bound):
        return [attribution(c, {"x": torch.zeros(1, 8, 8)}, index=1) for c in cases]

    e = of(predictor, case, [*maps, exact], [silent] * 3)
    for name in SOFT:
        reasons = [e.view(i).scores([as_metric(name)])[name].reason for i in range(3)]
        assert "no positive value" in reasons[0] and "same everywhere" in reasons[1]
        assert ("no correlation" in reasons[2]) == (name in ("adcc", "arcc"))
    small = attribution(case, {"x": torch.rand(1, 4, 4)}, index=1)
    (s,) = of(predictor, case, [small]).view(0).scores([as_metric("average_drop")]).values()
    assert math.isnan(s.value) and "(4, 4)" in s.reason


def test_a_picture_without_a_map_is_masked():
    w = world("regression 2 pictures")
    half = attribution(w.case, {"im1": torch.rand(1, 9, 9)}, kind="score", signed=False)
    e = of(w.predictor, w.case, [half], fill=0)
    from pellucid.evaluate.shared.soften import seen

    weight = e.scorer.split(seen(e)[0].weight[None])
    assert float(weight["im0"].max()) == 0 and float(weight["im1"].max()) == 1


def test_options_out_of_range_are_refused():
    for wrong, word in [
        ({"average_drop": {"fill": "grey"}}, "unknown fill"), ({"adcc": {"on": "logit"}}, "probability"),
        ({"arcc": {"percentages": [0]}}, "between 0 and 100"), ({"arcc": {"noise": -1}}, "0 or more"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=word):
            as_metric(wrong)
