"""Metrics of parts and axioms beside Quantus 0.6, on the same model, map, sets and fills; and where it differs."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from metric_worlds import attribution, of
from peers import peer
from pellucid.api import evidence_of, explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine import Engine
from pellucid.evaluate.faithfulness.infidelity import infidelity
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.shared.draws import random_subsets
from pellucid.evaluate.shared.plan import Plan

quantus = peer("quantus")
QUIET = {"disable_warnings": True, "display_progressbar": False}
RAW = {**QUIET, "abs": False, "normalise": False}
SHAPE = (8, 8)


def setting(seed: int = 0, padding: int = 0):
    """A small network of one channel, a case, three maps of class 1, and Quantus's arrays of the same."""
    torch.manual_seed(seed)
    side = SHAPE[0] - 2 + 2 * padding
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=padding), nn.Tanh(), nn.Flatten(), nn.Linear(4 * side**2, 3)).eval()
    predictor = Predictor(net, inputs=["x"], task="classification", classes=["a", "b", "c"])
    case = Case(id="q", inputs={"x": torch.rand(1, *SHAPE)})
    maps = [explain(predictor, case, method=m, target=1) for m in ("saliency", "input_x_gradient", "random")]
    return net, predictor, case, maps


def asked(metric, net, case, maps, **options):
    """Quantus's score of each map, one at a time."""
    x = case.inputs["x"][None].numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            float(metric(model=net, x_batch=x.copy(), y_batch=np.array([1]), a_batch=a.maps["x"].numpy().reshape(1, 1, *SHAPE),
                         softmax=False, device="cpu", **options)[0])
            for a in maps
        ]  # fmt: skip


def ours(e, name, **options):
    return [next(iter(e.view(i).scores([as_metric({name: options})]).values())).value for i in range(len(e.maps))]


def evidence(predictor, case, maps):
    return evidence_of(Engine(predictor), case, maps, fill="zero")


def test_faithfulness_correlation_on_the_same_sets(monkeypatch):
    net, predictor, case, maps = setting()
    e = evidence(predictor, case, maps)
    drawn = random_subsets(e, Plan(), 60, 9)
    inside = torch.stack([drawn.sums(row) for row in torch.eye(64, dtype=torch.double)]).T
    sets = [row.nonzero()[:, 0].numpy() for row in inside] * len(maps)
    monkeypatch.setattr(np.random, "choice", lambda *_, **__: sets.pop(0))
    metric = quantus.FaithfulnessCorrelation(subset_size=9, nr_runs=60, perturb_baseline=0.0, **RAW)
    theirs = asked(metric, net, case, maps)
    assert not sets  # each was used once
    assert ours(e, "faithfulness_correlation", size=9, draws=60) == pytest.approx(theirs, abs=1e-4)


def test_faithfulness_estimate_of_single_pixels():
    net, predictor, case, maps = setting()
    theirs = asked(quantus.FaithfulnessEstimate(features_in_step=1, perturb_baseline=0.0, **RAW), net, case, maps)
    assert ours(evidence(predictor, case, maps), "faithfulness_estimate", by="pixels") == pytest.approx(theirs, abs=1e-4)


def test_monotonicity_correlation_in_the_same_noise():
    net, predictor, case, maps = setting()
    e, copy = evidence(predictor, case, maps), torch.arange(5)
    x = case.inputs["x"]
    noise = (x.min() + (x.max() - x.min()) * e.problem.draw("uniform", "x", torch.zeros_like(copy), copy, "alone")).numpy()
    calls = [0]

    def replace(arr, indices, **_):
        made = arr.copy()
        made[0, indices[0]] = noise[calls[0] % 5].reshape(-1)[indices[0]]
        calls[0] += 1
        return made

    metric = quantus.MonotonicityCorrelation(
        nr_samples=5, features_in_step=1, perturb_func=replace, **QUIET, abs=True, normalise=False
    )
    theirs = asked(metric, net, case, maps)
    assert calls[0] == len(maps) * 64 * 5
    assert ours(e, "monotonicity_correlation", by="pixels", draws=5) == pytest.approx(theirs, abs=1e-4)


def test_infidelity_of_the_changes_that_quantus_makes():
    """Quantus takes blocks of one picture away one after another, without putting them back; ours draws single boxes.

    So its formula is compared, on its own changes, caught as it makes them.
    """
    net, _, case, maps = setting()
    change = quantus.functions.perturb_func.batch_baseline_replacement_by_indices
    shown: list[np.ndarray] = []

    def caught(arr, indices, **more):
        made = change(arr=arr, indices=indices, **more)
        shown.append(made.reshape(1, *SHAPE).copy())
        return made

    metric = quantus.Infidelity(
        perturb_func=caught, perturb_patch_sizes=[4], n_perturb_samples=1, perturb_baseline=0.0, **RAW
    )
    for a, theirs in zip(maps, asked(metric, net, case, maps)):
        x = case.inputs["x"].numpy()
        assert len(shown) == 4 * len(maps)
        mine, kept = shown[:4], [int((y != x).sum()) for y in shown[:4]]
        assert kept == sorted(kept) and kept[-1] > kept[0]  # more and more is missing
        with torch.no_grad():
            drops = (net(torch.from_numpy(x)[None]) - net(torch.from_numpy(np.stack(mine))))[:, 1].double()
        said = torch.tensor([float((a.maps["x"].numpy() * (x - y)).sum()) for y in mine], dtype=torch.double)
        assert infidelity(said, drops) == pytest.approx(theirs, rel=1e-4)


def test_sensitivity_n_is_another_thing_in_quantus():
    """It removes pixels in the order of the map and correlates over the pictures of a batch: one picture cannot be scored."""
    net, predictor, case, maps = setting()
    metric = quantus.SensitivityN(features_in_step=8, n_max_percentage=0.8, perturb_baseline=0.0, **RAW)
    with pytest.raises(ValueError, match="at least 2"):
        asked(metric, net, case, maps)
    assert all(math.isfinite(v) for v in ours(evidence(predictor, case, maps), "sensitivity_n"))


def dull(pixels: int):
    """A linear model of the first pixels of a row, and maps that know it, that miss one, and that see too many."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].bias.zero_()
        net[1].weight[1, :pixels] = 1.0
    predictor = Predictor(net, inputs=["x"], task="classification", classes=["a", "b", "c"])
    case = Case(id="q", inputs={"x": 0.25 + 0.5 * torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0))})
    sizes = [pixels, pixels - 1, pixels + 9]
    return net, predictor, case, [
        attribution(case, {"x": (torch.arange(64) < n).float().view(1, *SHAPE)}, index=1) for n in sizes
    ]  # fmt: skip


def test_non_sensitivity_counts_the_same_pixels():
    net, predictor, case, maps = dull(20)
    metric = quantus.NonSensitivity(eps=1e-5, features_in_step=1, perturb_baseline=0.0, **QUIET, abs=True, normalise=False)
    theirs = asked(metric, net, case, maps)
    found = ours(of(predictor, case, maps, fill="zero"), "non_sensitivity", by="pixels")
    assert [64 * v for v in found] == pytest.approx(theirs)
    assert theirs == [0, 1, 9]


def test_completeness_is_a_matter_of_the_last_bit_in_quantus():
    net, predictor, case, _ = dull(20)
    metric = quantus.Completeness(perturb_baseline=0.0, **RAW)
    whole = case.replace(inputs={"x": torch.arange(64.0).view(1, *SHAPE)})  # whole numbers, so that sums are exact
    exact = [attribution(c, {"x": c.inputs["x"] * net[1].weight[1].detach().view(1, *SHAPE)}, index=1) for c in (whole, case)]
    assert asked(metric, net, whole, exact[:1]) == [1.0]
    assert ours(of(predictor, whole, exact[:1], fill="zero"), "completeness") == [0.0]
    off = [a.replace(maps={"x": a.maps["x"] * (1 + 1e-6)}) for a in exact[1:]]  # a millionth, as in float32
    assert asked(metric, net, case, off) == [0.0]
    assert ours(of(predictor, case, off, fill="zero"), "completeness")[0] < 1e-5


@pytest.mark.parametrize(
    ("padding", "everywhere", "wanted"),
    [(0, True, [1.0, 0.0]), (1, True, [0.0, 0.0]), (0, False, [0.0, 0.0])],
    ids=["right", "padded first layer", "its own shift, which forgets the first pixel"],
)
def test_input_invariance_agrees_where_quantus_keeps_the_output(padding, everywhere, wanted):
    """Of saliency, which is invariant, and input × gradient, which is not."""

    def again(method):
        def explain_func(model, inputs, targets, **_):
            p = Predictor(model, inputs=["x"], task="classification", classes=["a", "b", "c"])
            rows = [explain(p, Case(id="q", inputs={"x": torch.from_numpy(np.asarray(x))}), method=method, target=int(t))
                    for x, t in zip(np.asarray(inputs, np.float32), targets)]  # fmt: skip
            return np.stack([a.maps["x"].numpy().reshape(1, *SHAPE) for a in rows])

        return explain_func

    net, predictor, case, maps = setting(padding=padding)
    maps = maps[:2]
    more = {"perturb_func": lambda arr, input_shift, **_: arr + np.float32(input_shift)} if everywhere else {}
    metric = quantus.InputInvariance(input_shift=-1, **more, **RAW)
    assert [asked(metric, net, case, [a], explain_func=again(a.method))[0] for a in maps] == wanted
    values = ours(evidence(predictor, case, maps), "input_invariance", shift=-1.0)
    assert values[0] == pytest.approx(0, abs=1e-4) and values[1] > 0.1
