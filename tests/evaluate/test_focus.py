"""Focus: mosaics of the case and of others, and how much of their map lies on the class."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from metric_worlds import ROWS, Counted, attribution
from peers import peer
from pellucid.api import evidence_of, explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine import Engine
from pellucid.errors import UsageError
from pellucid.evaluate.plausibility.focus import focus
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.shared.mosaic import Mosaic, is_of, mosaics, places
from reference import metric_focus as literal


class Brightness(nn.Module):
    """Class 1 is red (the first channel bright), class 0 blue (the second): tiles tell themselves apart."""

    def forward(self, x, *table):
        red, blue = x[:, 0].flatten(1).mean(1), x[:, 1].flatten(1).mean(1)
        return torch.stack([blue, red], 1)


def world(shape=(8, 10), table=False, others=6):
    inputs = ["x", "t"] if table else ["x"]
    predictor = Predictor(Counted(Brightness()).eval(), inputs=inputs, task="classification", classes=["blue", "red"])

    def case(i, truth):
        x = 0.1 + 0.1 * torch.rand(2, *shape, generator=torch.Generator().manual_seed(i))
        x[0 if truth == 1 else 1] += 1.0
        return Case(id=f"c{i}", inputs={"x": x, **({"t": torch.ones(3)} if table else {})}, truth=truth)

    return predictor, case(0, 1), [case(i, i % 2) for i in range(1, 1 + others)]


def evidence(predictor, case, background, methods=("input_x_gradient",), target=1):
    maps = [explain(predictor, case, method=m, target=target, seed=1) for m in methods]
    return evidence_of(Engine(predictor), case, maps, background=background)


@pytest.mark.parametrize("shape", [(8, 10), (7, 9), (6, 5, 4)])
def test_half_of_the_tiles_show_the_class_and_the_case_is_one_of_them(shape):
    predictor, case, background = world(shape)
    found = mosaics(evidence(predictor, case, background), 1, 3)
    assert len(found) == 3 and len({m.own for m in found}) > 1
    for m in found:
        x = m.case.inputs["x"]
        assert x.shape == case.inputs["x"].shape
        assert len(m.own) == 2 ** len(shape) and sum(m.own) == len(m.own) // 2
        tiles = [x[(slice(None), *p)] for p in places(shape)]
        assert [bool(t[0].mean() > t[1].mean()) for t in tiles] == list(m.own)  # red where the class is red
        pool = nn.functional.adaptive_avg_pool2d if len(shape) == 2 else nn.functional.adaptive_avg_pool3d
        shrunk = [pool(case.inputs["x"], t.shape[1:]) for t in tiles]
        assert sum(torch.allclose(s, t) for s, t in zip(shrunk, tiles)) == 1
        covered = torch.zeros(shape)
        for p in places(shape):
            covered[p] += 1
        assert (covered == 1).all()
        assert m.case.truth is None and not m.case.regions


def test_a_map_that_needs_the_class_beats_chance_and_controls_do_not():
    predictor, case, background = world((16, 16))
    e = evidence(predictor, case, background, ("input_x_gradient", "random"))
    good, random = (e.view(i).scores([as_metric({"focus": {"mosaics": 8}})])["focus"] for i in range(2))
    assert good.value > 0.85 and random.value == pytest.approx(0.5, abs=0.06)
    assert [p[0] for p in good.parts] == ["mosaic"] * 8 and np.mean([p[2] for p in good.parts]) == pytest.approx(good.value)


def test_bounds_twin_and_chance():
    predictor, case, background = world((9, 8))
    (m,) = mosaics(evidence(predictor, case, background), 1, 1)
    inside = m.inside((9, 8)).double()[None]
    assert focus(attribution(case, {"x": inside}), m) == 1.0
    assert focus(attribution(case, {"x": 1 - inside - 5 * inside}), m) == 0.0
    draw = torch.randn(9, 8, generator=torch.Generator().manual_seed(0))
    expected = literal.focus([draw.numpy()], m.own)
    assert focus(attribution(case, {"x": draw[None]}), m) == pytest.approx(expected, rel=1e-6)
    own = [focus(attribution(case, {"x": torch.rand(1, 40, 40)}), m) for _ in range(50)]
    assert np.mean(own) == pytest.approx(0.5, abs=0.01)


def test_equals_quantus_on_the_same_mosaic():
    quantus = peer("quantus")
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 1, 8, 12))
    own = [(True, True, False, False), (False, True, True, False), (True, False, True, False)]
    metric = quantus.Focus(disable_warnings=True, display_progressbar=False, normalise=False, abs=False)
    theirs = metric.evaluate_batch(a_batch=a, c_batch=np.array(own, float))
    case = Case(id="q", inputs={"x": torch.zeros(1, 8, 12)})
    ours = [focus(attribution(case, {"x": torch.from_numpy(m)}), Mosaic(case, o)) for m, o in zip(a, own)]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_all_maps_share_the_mosaics_and_each_is_explained_once():
    predictor, case, background = world()
    e = evidence(predictor, case, background, ("occlusion", "random"))
    ROWS["seen"] = 0
    first = e.view(0).scores([as_metric("focus")])["focus"]
    rows = ROWS["seen"]
    ROWS["seen"] = 0
    explain(predictor, case, method="occlusion", target=1, seed=1)
    assert 0 < rows <= 2 * ROWS["seen"]  # two mosaics, each explained as the case is
    ROWS["seen"] = 0
    assert e.view(0).scores([as_metric("focus")])["focus"] == first and ROWS["seen"] == 0
    assert mosaics(e, 1, 2) is mosaics(e, 1, 2)
    again = evidence(predictor, case, background, ("occlusion", "random"))
    assert again.view(0).scores([as_metric("focus")])["focus"].value == pytest.approx(first.value)


def test_a_table_beside_the_picture_stays_the_case_s():
    predictor, case, background = world(table=True)
    e = evidence(predictor, case, background)
    (m,) = mosaics(e, 1, 1)
    assert torch.equal(m.case.inputs["t"], case.inputs["t"])
    assert e.view(0).scores([as_metric("focus")])["focus"].value > 0.8


def test_where_there_is_no_mosaic_it_says_why():
    predictor, case, background = world()
    reason = lambda c, b, target=1: _nan(evidence(predictor, c, b, target=target))  # noqa: E731
    assert "no background case of a class other than 'red'" in reason(case, [])
    assert "no background case of a class other" in reason(case, [c for c in background if c.truth == 1])
    assert "no background case of a class other" in reason(case, [c.replace(group=case.group) for c in background])
    assert "no background case of a class other" in reason(case, [c.replace(truth=None) for c in background])
    assert "not known to be of the class that is explained, 'blue'" in reason(case, background, 0)
    assert "not known" in reason(case.replace(truth=None), background)
    alone = mosaics(evidence(predictor, case, [c for c in background if c.truth == 0]), 1, 1)[0]
    assert sum(alone.own) == 2  # no other case of the class: the case is there twice
    with pytest.raises(UsageError, match="mosaics="):
        as_metric({"focus": {"mosaics": 0}})


def _nan(e) -> str:
    s = e.view(0).scores([as_metric("focus")])["focus"]
    assert math.isnan(s.value)
    return s.reason


def test_truths_of_every_form():
    several = Predictor(nn.Flatten(), inputs=["x"], task="classification", classes=["a", "b", "c"])
    one = Predictor(nn.Flatten(), inputs=["x"], task="classification", classes=["finding"], activation="sigmoid")
    case = Case(id="1", inputs={"x": torch.zeros(1, 2, 2)})
    for truth, expected in ((2, True), (1, False), ("c", True), ("a", False), (torch.tensor([0, 1, 1]), True),
                            (torch.tensor([1, 1, 0]), False), (None, None), (0.5, None)):  # fmt: skip
        assert is_of(several, case.replace(truth=truth), 2) is expected
    assert is_of(one, case.replace(truth=1), 0) is True and is_of(one, case.replace(truth=0), 0) is False
