"""ROAD: its imputation against a dense twin and two peers, its value against pytorch-grad-cam, its counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from metric_worlds import ROWS, attribution, evidence, linear_world, of, world
from peers import peer
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.shared import impute as module
from pellucid.evaluate.shared import removal
from pellucid.evaluate.shared.impute import impute, neighbourhood
from reference import metric_soft as literal

RNG = np.random.default_rng(6)


def value(e, place: int = 0, **options) -> float:
    (s,) = e.view(place).scores([as_metric({"road": options})]).values()
    assert s.reason == ""
    return s.value


# -- imputation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(7, 9), (5, 4, 6), (1, 6), (2, 3, 4)])
def test_imputation_equals_the_dense_system(shape, share):
    x = RNG.normal(size=(2, *shape))
    removed = RNG.random(shape) < share
    removed.flat[0], removed.flat[-1] = True, False
    want = literal.impute(x, removed)
    np.testing.assert_allclose(impute(x, removed, neighbourhood(shape)), want, atol=1e-9)
    np.testing.assert_allclose(impute(1000 + x, removed), 1000 + want, atol=2e-5)  # step by step, far from zero


@pytest.mark.parametrize("shape", [(6, 6), (5, 5, 5)])
def test_weights_are_those_of_the_paper_in_2d_and_halve_with_each_axis(shape):
    system = neighbourhood(shape)
    middle = int(np.ravel_multi_index([s // 2 for s in shape], shape))
    row = system[middle].toarray().ravel() / system[middle, middle]
    weights = sorted(-row[row < 0])
    want = {2: [1 / 12] * 4 + [1 / 6] * 4, 3: [1 / 56] * 8 + [1 / 28] * 12 + [1 / 14] * 6}[len(shape)]
    assert weights == pytest.approx(want)
    np.testing.assert_allclose(np.asarray(system.sum(1)).ravel(), 0, atol=1e-12)  # also at the border


def test_what_is_not_removed_stays_and_a_constant_comes_back():
    x = RNG.normal(size=(3, 8, 8))
    removed = RNG.random((8, 8)) < 0.4
    system = neighbourhood((8, 8))
    assert np.array_equal(impute(x, removed, system)[:, ~removed], x[:, ~removed])
    np.testing.assert_allclose(impute(np.full((1, 8, 8), 3.0), removed, system), 3.0)
    ramp = np.add.outer(np.arange(8.0), 2 * np.arange(8.0))[None]
    hole = np.zeros((8, 8), bool)
    hole[2:6, 2:6] = True
    np.testing.assert_allclose(impute(ramp, hole, system), ramp, atol=1e-9)  # a plane is its own mean
    assert np.array_equal(impute(x, np.zeros((8, 8), bool), system), x)
    whole = impute(x, np.ones((8, 8), bool), system)
    np.testing.assert_allclose(whole, np.broadcast_to(x.mean((1, 2), keepdims=True), x.shape))


def test_a_large_picture_is_solved_step_by_step(monkeypatch):
    x = RNG.normal(size=(2, 20, 20))
    removed = RNG.random((20, 20)) < 0.9
    direct = impute(x, removed, neighbourhood((20, 20)))
    monkeypatch.setattr(module, "DIRECT", 100)
    monkeypatch.setattr(module, "splu", None)
    np.testing.assert_allclose(impute(x, removed, neighbourhood((20, 20))), direct, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2])
def test_scattered_pixels_are_settled_step_by_step(monkeypatch, channels):
    rng = np.random.default_rng(4)
    x, system = 1000 + rng.random((channels, 90, 90)), neighbourhood((90, 90))
    removed = rng.random((90, 90)) < 0.7
    asked = []
    settled = module._settled
    monkeypatch.setattr(module, "_settled", lambda *a: asked.append(1) or settled(*a))
    quick = impute(x, removed, system)
    assert asked == [1]
    monkeypatch.setattr(module, "SHALLOW", 0.0)
    np.testing.assert_allclose(quick, impute(x, removed, system), atol=5e-6)
    assert asked == [1]


def test_a_smooth_hole_in_a_volume_is_filled():
    ramp = np.add.outer(np.add.outer(np.arange(12.0), 2 * np.arange(10.0)), 3 * np.arange(8.0))[None]
    hole = np.zeros((12, 10, 8), bool)
    hole[2:10, 2:8, 2:6] = True
    np.testing.assert_allclose(impute(ramp, hole), ramp, atol=1e-4)


def test_imputation_equals_quantus_and_pytorch_grad_cam():
    quantus, road = peer("quantus"), peer("pytorch_grad_cam.metrics.road")
    x = RNG.normal(size=(3, 12, 10))
    removed = RNG.random((12, 10)) < 0.6
    ours = impute(x, removed, neighbourhood((12, 10)))
    theirs = quantus.functions.perturb_func.noisy_linear_imputation(arr=x, indices=np.flatnonzero(removed), noise=0.0)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    imputer = road.NoisyLinearImputer(noise=0.0)
    theirs = imputer(torch.as_tensor(x).float(), torch.as_tensor(~removed).float())
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


# -- the metric -------------------------------------------------------------------------------------------------------


def made(channels: int = 2):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(400, 2)).eval()
    x = torch.randn(channels, 10, 10)
    cam = torch.rand(10, 10, generator=torch.Generator().manual_seed(3))
    predictor = Predictor(net, inputs=["x"], task="classification", classes=["a", "b"])
    return net, x, cam, of(predictor, Case(id="r", inputs={"x": x}), [attribution(Case(id="r", inputs={"x": x}), {"x": cam[None]}, index=1)])


def test_it_equals_the_combined_form_of_pytorch_grad_cam():
    """On 10 × 10 pixels their percentiles and our shares remove the same pixels; the noise is off in both."""
    road = peer("pytorch_grad_cam.metrics.road")
    net, x, cam, e = made()
    most, least = [], []
    with torch.no_grad():
        for q in range(10, 100, 10):
            for metric, found in ((road.ROADMostRelevantFirst, most), (road.ROADLeastRelevantFirst, least)):
                made_ = metric(q)
                made_.perturbation.imputer.noise = 0.0
                found.append(made_(x[None], cam.numpy()[None], [lambda out: out.softmax(0)[1]], net, return_diff=False)[0])
    assert value(e, noise=0.0) == pytest.approx((np.mean(least) - np.mean(most)) / 2, abs=1e-4)


def test_its_half_of_most_relevant_first_says_what_quantus_asks():
    """Quantus asks whether the class is still predicted; of two classes it is where its probability is over a half."""
    quantus = peer("quantus")
    net, x, _, _ = made(1)
    x.requires_grad_()
    out = net(x[None])[0]
    (gradient,) = torch.autograd.grad(out[1] - out[0], x)
    x = x.detach()
    predictor, case = Predictor(net, inputs=["x"], task="classification", classes=["a", "b"]), Case(id="r", inputs={"x": x})
    seen = set()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(8))
    for k, sign, level in ((1, 1, 0.0), (1, 1, 0.1), (1, -1, 0.0), (0, 1, 0.0), (0, -1, 0.1)):
        a = attribution(case, {"x": sign * gradient * x + level * noise}, index=k)
        metric = quantus.ROAD(percentages=list(range(10, 100, 10)), noise=0.0, display_progressbar=False, disable_warnings=True)
        got = metric(model=net, x_batch=x.numpy()[None], y_batch=np.array([k]), a_batch=a.maps["x"].numpy()[None],
                     device="cpu", channel_first=True)  # fmt: skip
        parts = of(predictor, case, [a]).view(0).scores([as_metric({"road": {"noise": 0.0}})])["road"].parts
        ours = {q: float(v > 0.5) for name, q, v in parts if name == "most_relevant"}
        assert ours == {float(q): float(v) for q, v in got.items()}
        assert len(parts) == 18
        seen |= set(ours.values())
    assert seen == {0.0, 1.0}


def test_quantus_cannot_run_it_on_a_picture_of_several_channels():
    """It ranks values of all channels and takes their places for those of pixels."""
    quantus = peer("quantus")
    net, x, cam, e = made(2)
    metric = quantus.ROAD(display_progressbar=False, disable_warnings=True)
    with pytest.raises(IndexError, match="out of bounds"):
        metric(model=net, x_batch=x.numpy()[None], y_batch=np.array([1]), a_batch=cam.numpy()[None, None], device="cpu",
               channel_first=True)  # fmt: skip
    assert math.isfinite(value(e))


@pytest.mark.parametrize("where", ["classification 2-D + table", "regression 2 pictures", "segmentation 2 pictures", "classification 3-D"])
def test_it_equals_its_twin(where):
    w = world(where)
    names = [n for n in w.predictor.inputs if w.case.inputs[n].ndim > 1]
    maps = {n: torch.randn(w.case.inputs[n].shape, generator=torch.Generator().manual_seed(i)) for i, n in enumerate(names)}
    kind = {"c": "class", "r": "score", "s": "region"}[where[0]]
    a = attribution(w.case, maps, kind=kind, index=0)
    e = of(w.predictor, w.case, [a])
    bound = e.target(0)
    pictures = [w.case.inputs[n].numpy().astype(float) for n in names]

    def f(shown):
        given = dict(zip(names, shown))
        x = [torch.as_tensor(given[n]).float() if n in given else w.case.inputs[n] for n in w.predictor.inputs]
        with torch.no_grad():
            out = w.predictor.module(*[v[None] for v in x])[0]
        if bound.weight is not None:
            return float((out[bound.index] * bound.weight).sum())
        return float(out.softmax(0)[bound.index] if kind == "class" else out[bound.index])

    whole, empty = f(pictures), f([np.full_like(x, x.mean()) for x in pictures])
    turn = -1 if kind != "class" and whole < empty else 1
    joined = np.concatenate([turn * a.spatial(n).numpy().ravel() for n in names])
    order = np.argsort(-joined)
    scale = (lambda v: v) if kind == "class" else (lambda v: min(max((v - empty) / (whole - empty), 0), 1))
    total = 0.0
    for q in (0.2, 0.5, 0.8):
        for sign, gone in ((-1, order[: round(q * len(order))]), (1, order[len(order) - round(q * len(order)) :])):
            flat = np.zeros(len(order), bool)
            flat[gone] = True
            sizes = np.cumsum([x[0].size for x in pictures])[:-1]
            masks = [m.reshape(x.shape[1:]) for m, x in zip(np.split(flat, sizes), pictures)]
            shown = [literal.impute(x, m) if not m.all() else np.full_like(x, x.mean())
                     for x, m in zip(pictures, masks)]  # fmt: skip
            total += sign * scale(f(shown))
    assert value(e, percentages=(20, 50, 80), noise=0) == pytest.approx(total / 6, abs=5e-4)


def test_the_noise_is_in_units_of_the_picture_and_the_same_for_every_map():
    predictor, case, exact = linear_world()
    random = attribution(case, {"x": torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1))}, index=1)
    e = of(predictor, case, [exact, random])
    make = removal._copies(e, torch.stack([torch.arange(64), torch.arange(64)]), (0.9,), 0.5)
    silent = removal._copies(e, torch.stack([torch.arange(64), torch.arange(64)]), (0.9,), 0.0)
    shown = make(torch.arange(4))["x"] - silent(torch.arange(4))["x"]
    assert torch.equal(shown[0], shown[2]) and torch.equal(shown[1], shown[3])  # the same mask, the same noise
    both = (shown[0] != 0) & (shown[1] != 0)
    assert torch.allclose(shown[0][both], shown[1][both], atol=1e-6) and int(both.sum()) > 40
    # 0.5 × range is the sd: a picture in thousands gets noise in thousands.
    range_ = float(case.inputs["x"].max() - case.inputs["x"].min())
    assert float(shown[0][shown[0] != 0].std()) == pytest.approx(0.5 * range_, rel=0.4)
    assert value(e) == value(of(predictor, case, [exact, random]))  # drawn from the evidence's seed
    assert value(e) != value(of(predictor, case, [exact], seed=1))


def test_a_random_map_is_at_nothing_and_a_good_one_is_not():
    predictor, case, exact = linear_world()
    draws = [attribution(case, {"x": torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(i))}, index=1) for i in range(40)]
    e = of(predictor, case, [exact, *draws])
    got = [value(e, i) for i in range(1, 41)]
    assert abs(np.mean(got)) < 3 * np.std(got) / 40**0.5
    assert value(e) > max(got)


@pytest.mark.parametrize("where", ["classification 2-D", "regression 2 pictures", "segmentation 3-D"])
def test_passes_and_factorisations(where, monkeypatch):
    """2 forwards for each percentage and map; one solution for each mask and picture, in 2-D for all channels."""
    solved = []
    for name in ("_factored", "_stepwise"):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, o=original: solved.append(1) or o(*a))
    e = evidence.__wrapped__(where, ("saliency", "random"))
    ROWS["seen"] = 0
    for place in (0, 1):
        value(e, place)
    images = len(e.scorer.images)
    ends = 0 if e.scorer.classify else 2
    assert ROWS["seen"] == 2 * 2 * 9 + ends
    assert 2 * 2 * 9 <= len(solved) <= 2 * 2 * 9 * images
    value(e, 0)
    assert ROWS["seen"] == 2 * 2 * 9 + ends


def test_what_does_not_exist_says_why():
    w = world("classification 2-D + table")
    broken = [attribution(w.case, {"tab": torch.ones(5)}), attribution(w.case, {"im0": torch.full((1, 10, 12), math.nan)})]
    fine = attribution(w.case, {"im0": torch.rand(1, 10, 12)})
    e = of(w.predictor, w.case, [*broken, fine])
    reasons = [e.view(i).scores([as_metric("road")])["road"].reason for i in range(3)]
    assert "no map of an image" in reasons[0] and "NaN" in reasons[1] and reasons[2] == ""
    w = world("regression 3-D")
    (s,) = evidence("regression 3-D").view(0).scores([as_metric({"road": {"on": "probability"}})]).values()
    assert math.isnan(s.value) and "normalised" in s.reason


def test_options_out_of_range_are_refused():
    for wrong in ({"percentages": [0, 50]}, {"percentages": [100]}, {"percentages": []}, {"percentages": "all"},
                  {"noise": -0.1}, {"noise": math.nan}, {"on": "logit"}):  # fmt: skip
        with pytest.raises(UsageError):
            as_metric({"road": wrong})
