"""Metrics of ranked curves: against their twins, their passes, their bounds and their refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from metric_worlds import ROWS, attribution, linear_world, of, world
from pellucid.core.case import Case
from pellucid.core.metric import METRICS
from pellucid.core.predictor import Predictor
from pellucid.core.region import partition
from pellucid.errors import UsageError
from pellucid.evaluate.faithfulness.curve import CurveMetric
from pellucid.evaluate.run import as_metric
from reference import metric_curves as literal

ALL = [n for n, c in METRICS.items() if issubclass(c, CurveMetric)]
PIXELS = [n for n in ALL if METRICS[n]().by == "pixels"]
BLOCKS = [n for n in ALL if METRICS[n]().by == "blocks"]


def values(e, *metrics, place: int = 0) -> dict[str, float]:
    found = e.view(place).scores([as_metric(m) for m in metrics])
    assert all(s.reason == "" for s in found.values()), found
    return {k: s.value for k, s in found.items()}


# -- twins ------------------------------------------------------------------------------------------------------------


def made(where: str, seed: int = 4):
    """A map of distinct values for every picture of a world, as arrays and as an Attribution."""
    w = world(where)
    names = [n for n in w.predictor.inputs if w.case.inputs[n].ndim > 1]
    generator = torch.Generator().manual_seed(seed)
    maps = {n: torch.randn(w.case.inputs[n].shape, generator=generator) for n in names}
    kind = {"c": "class", "r": "score", "s": "region"}[where[0]]
    index = 0 if kind == "score" else 1
    return w, names, attribution(w.case, maps, kind=kind, index=index)


def answer(w, names, bound):
    """The explained scalar of pictures given as arrays, tables as the case has them."""

    def f(shown):
        given = dict(zip(names, shown))
        x = [torch.as_tensor(given[n]).float() if n in given else w.case.inputs[n] for n in w.predictor.inputs]
        with torch.no_grad():
            out = w.predictor.module(*[v[None] for v in x])[0]
        if bound.weight is not None:
            return float((out[bound.index] * bound.weight).sum())
        return float(out.softmax(0)[bound.index]) if w.predictor.task == "classification" else float(out[bound.index])

    return f


@pytest.mark.parametrize(
    ("where", "by"),
    [
        ("classification 2-D + table", "blocks"), ("regression 2 pictures", "superpixels"),
        ("segmentation 2 pictures", "cubes"), ("regression 3-D", "blocks"), ("classification 3-D", "supervoxels"),
    ],
)  # fmt: skip
def test_every_metric_equals_its_twin_over_parts(where, by):
    w, names, a = made(where)
    side, segments = (3, 12)
    e = of(w.predictor, w.case, [a])
    groups = partition(w.case, tuple(names), by=by, side=side if by == "blocks" else None, segments=segments)
    labels = [groups.labels[n].numpy() for n in names]
    pictures = [w.case.inputs[n].numpy().astype(float) for n in names]
    fills = [np.full_like(x, 0.3) for x in pictures]
    maps = [a.spatial(n).numpy().astype(float) for n in names]
    f = answer(w, names, e.target(0))
    probability = w.predictor.task == "classification"
    if not probability and f(pictures) < f(fills):
        maps = [-m for m in maps]
    morf, lerf = (literal.removal(f, pictures, fills, maps, labels, least_first=b) for b in (False, True))
    monotone = literal.monotonicity(morf)
    if not probability:
        whole, empty = morf[0], morf[-1]
        monotone = literal.monotonicity([(v - empty) / (whole - empty) for v in morf])
        morf, lerf = ([min(max((v - empty) / (whole - empty), 0), 1) for v in c] for c in (morf, lerf))
    bins = (0.1, 0.5)
    n = len(morf) - 1
    q = [round(b * n) / n for b in bins]  # on points of the curve
    options = {"by": by, "side": side if by == "blocks" else None, "segments": segments, "fill": 0.3, "steps": 10_000}
    got = values(e, *({name: {**options, **({"bins": q} if "bins" in dir(METRICS[name]) else {})}} for name in ALL))
    want = {
        "deletion_auc": literal.area(morf), "selectivity": literal.area(morf), "lerf_auc": literal.area(lerf),
        "insertion_auc": literal.area(lerf), "abpc": literal.area(lerf) - literal.area(morf),
        "aopc": morf[0] - sum(morf) / (n + 1), "region_perturbation": morf[0] - sum(morf) / (n + 1),
        "comprehensiveness": literal.comprehensiveness(morf, q), "sufficiency": literal.sufficiency(morf, lerf, q),
        "irof": literal.irof(morf), "monotonicity": monotone,
    }  # fmt: skip
    assert set(want) == set(ALL)
    assert got == pytest.approx(want, abs=2e-4)
    (turned,) = values(e, {"region_perturbation": {**options, "order": "lerf"}}).values()
    assert turned == pytest.approx(sum(lerf) / (n + 1) - lerf[0], abs=2e-4)


# -- passes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["classification 2-D", "regression 3-D", "segmentation 2 pictures"])
def test_all_metrics_of_one_plan_read_the_same_passes(where):
    w, _, a = made(where)
    _, _, b = made(where, seed=9)
    e = of(w.predictor, w.case, [a, b], steps=5)
    ROWS["seen"] = 0
    for place in (0, 1):
        values(e, *PIXELS, place=place)
    assert ROWS["seen"] == 2 * 2 * 4 + 2
    for place in (0, 1):
        values(e, *BLOCKS, place=place)
    assert ROWS["seen"] == 2 * (2 * 2 * 4) + 2  # another plan: its own curves, the same two ends
    values(e, {"aopc": {"by": "blocks"}}, {"deletion_auc": {"steps": 5}}, {"abpc": {"fill": "mean"}})
    assert ROWS["seen"] == 2 * (2 * 2 * 4) + 2  # spelled out, they are the plans that were run
    values(e, {"abpc": {"fill": "blur"}})
    assert ROWS["seen"] == 3 * (2 * 2 * 4) + 4  # another fill has another end, and f(x) is asked for with it


# -- bounds, chance, invariance ---------------------------------------------------------------------------------------


def test_a_map_of_the_truth_scores_the_bounds_where_the_model_is_an_or():
    """A model that says 1 while anything of one block is there, and 0 without: all at the first step, or never."""

    class Any(nn.Module):
        def forward(self, x):
            return x[:, 0, 4:, 4:].flatten(1).amax(1, keepdim=True)

    x = torch.zeros(1, 8, 8)
    x[0, 4:, 4:] = 1.0
    p = Predictor(Any().eval(), inputs=["x"], task="regression")
    case = Case(id="or", inputs={"x": x})
    e = of(p, case, [attribution(case, {"x": x}, kind="score"), attribution(case, {"x": 1 - x}, kind="score", signed=False)])
    four = {"side": 4, "fill": 0, "by": "blocks"}
    good = values(e, {"deletion_auc": four}, {"lerf_auc": four}, {"abpc": four}, {"irof": four}, {"sufficiency": {**four, "bins": [0.25]}},
                  {"comprehensiveness": {**four, "bins": [0.25, 1]}}, {"monotonicity": four})  # fmt: skip
    eighth = 1 / 8  # of the trapezoid in the one step that falls, of four
    assert good == pytest.approx({
        "deletion_auc": eighth, "lerf_auc": 1 - eighth, "abpc": 1 - 2 * eighth, "irof": 1 - eighth, "sufficiency": 0,
        "comprehensiveness": 1, "monotonicity": 1,
    })  # fmt: skip
    bad = values(e, {"deletion_auc": four}, {"abpc": four}, {"comprehensiveness": {**four, "bins": [0.25, 0.5, 0.75]}}, place=1)
    assert bad == pytest.approx({"deletion_auc": 1 - eighth, "abpc": 2 * eighth - 1, "comprehensiveness": 0})


def test_a_random_map_has_no_area_between_its_curves_on_average():
    predictor, case, _ = linear_world()
    draws = [attribution(case, {"x": torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(i))}, index=1) for i in range(60)]
    e = of(predictor, case, draws, steps=8)
    got = [values(e, "abpc", place=i)["abpc"] for i in range(len(draws))]
    assert abs(np.mean(got)) < 3 * np.std(got) / len(got) ** 0.5


def test_lerf_is_insertion_and_abpc_the_difference():
    w, _, a = made("classification 3-D")  # 210 voxels: 20 steps are of 10 and of 11
    got = values(of(w.predictor, w.case, [a]), "lerf_auc", "insertion_auc", "deletion_auc", "abpc")
    assert got["lerf_auc"] == pytest.approx(got["insertion_auc"], abs=1e-12)
    assert got["abpc"] == pytest.approx(got["insertion_auc"] - got["deletion_auc"], abs=1e-12)


def test_monotonicity_prefers_the_map_that_knows_what_speaks_against():
    """``relu(for − against)``: what speaks against cannot lower an empty picture, so that in the right order nothing falls."""

    class Weighs(nn.Module):
        def forward(self, x):
            return (x[:, 0, :, 4:].sum((1, 2)) - 0.5 * x[:, 0, :, :4].sum((1, 2))).relu()[:, None]

    p = Predictor(Weighs().eval(), inputs=["x"], task="regression")
    case = Case(id="m", inputs={"x": torch.ones(1, 8, 8)})
    noise = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(2))
    exact = torch.where(torch.arange(8) >= 4, 1.0, -0.5).expand(1, 8, 8) + 0.01 * noise
    e = of(p, case, [attribution(case, {"x": m}, kind="score") for m in (exact, -exact, noise)], fill=0, steps=64)
    good, turned, random = (values(e, "monotonicity", {"monotonicity": {"strict": True}}, place=i) for i in range(3))
    assert good == {"monotonicity": 1, "monotonicity(strict=True)": 1}
    assert turned == {"monotonicity": 0.5, "monotonicity(strict=True)": 0}
    assert random["monotonicity"] < 0.9 and random["monotonicity(strict=True)"] == 0


@pytest.mark.parametrize("name", ALL)
def test_a_region_of_the_case_can_be_the_parts(name):
    predictor, case, exact = linear_world()
    organs = torch.arange(4).repeat_interleave(2).repeat_interleave(8).view(8, 8)
    case = case.replace(regions={**case.regions, "organs": organs})
    e = of(predictor, case, [exact])
    assert math.isfinite(values(e, {name: {"by": "organs"}})[name])
    assert len(e.view(0).ranked(METRICS[name](by="organs").plan).fraction) == 5
    (s,) = e.view(0).scores([as_metric({name: {"by": "liver"}})]).values()
    assert math.isnan(s.value) and "no region 'liver'" in s.reason


def test_a_picture_of_one_part_has_no_order():
    predictor, case, exact = linear_world()
    e = of(predictor, case, [exact])
    for metric in ({"abpc": {"by": "blocks", "side": 100}}, {"monotonicity": {"by": "modality"}}):
        (s,) = e.view(0).scores([as_metric(metric)]).values()
        assert math.isnan(s.value) and "one part only" in s.reason


def test_bins_between_points_are_read_linearly():
    w, _, a = made("classification 2-D")
    e = of(w.predictor, w.case, [a], steps=4)
    deletion = e.view(0).curves.on("auto")[0]
    (got,) = values(e, {"comprehensiveness": {"bins": [0.3]}}).values()
    assert got == pytest.approx(float(deletion[0] - (0.8 * deletion[1] + 0.2 * deletion[2])))
    parts = e.view(0).scores([as_metric("comprehensiveness")])["comprehensiveness"].parts
    assert [p[:2] for p in parts] == [("bin", q) for q in (0.01, 0.05, 0.1, 0.2, 0.5)]


def test_irof_of_an_answer_of_zero_is_undefined():
    class Never(nn.Module):
        def forward(self, x):
            never = torch.where(x.flatten(1).std(1) > 1e-3, -1e4, 0.0)  # unless the picture is empty
            return torch.stack([torch.zeros_like(never), never], 1)

    p = Predictor(Never().eval(), inputs=["x"], task="classification", classes=["a", "b"])
    case = Case(id="z", inputs={"x": torch.rand(1, 8, 8)})
    (s,) = of(p, case, [attribution(case, {"x": torch.rand(1, 8, 8)}, index=1)]).view(0).scores([as_metric("irof")]).values()
    assert math.isnan(s.value) and "no probability" in s.reason


def test_options_out_of_range_are_refused():
    for wrong, word in [
        ({"deletion_auc": {"steps": 1}}, "2 or more"), ({"abpc": {"fill": "grey"}}, "unknown fill"),
        ({"selectivity": {"side": 0}}, "1 pixel or more"), ({"irof": {"segments": 0}}, "1 or more"),
        ({"comprehensiveness": {"bins": [0, 0.5]}}, "above 0 and up to 1"), ({"sufficiency": {"bins": []}}, "above 0"),
        ({"sufficiency": {"bins": "all"}}, "above 0"), ({"region_perturbation": {"order": "random"}}, "known: lerf, morf"),
        ({"lerf_auc": {"on": "logit"}}, "probability"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=word):
            as_metric(wrong)
