"""Every method on networks as users bring them: it runs where it says so, keeps its word, and else says why not."""

from __future__ import annotations

import re
from functools import cache

import pytest
import torch
from torch import nn

from contract.families import explain, gap
from contract.users import NETS
from pellucid.core.attribution import Attribution
from pellucid.core.explainer import EXPLAINERS, Explainer
from pellucid.engine import Engine
from pellucid.errors import UsageError
from pellucid.explain.make import as_explainer

PAIRS = [(n, m) for n in NETS for m in EXPLAINERS if NETS[n].runs(m)]
MISFITS = [(n, m) for n in NETS for m in EXPLAINERS if not NETS[n].runs(m)]
CHEAP: dict[str, dict[str, object]] = {
    "kernel_shap": {"segments": 4, "samples": 30, "force": True},
    "lime": {"segments": 4, "samples": 30, "force": True},
    "rise": {"samples": 10, "grid": 3, "force": True},
    "partition_shap": {"evaluations": 30, "force": True},
    "score_cam": {"channels": 4},
    "ablation_cam": {"channels": 4},
    "integrated_gradients": {"n_steps": 8},
    "expected_gradients": {"n_steps": 8},
    "gradient_shap": {"samples": 2},
    "smoothgrad": {"samples": 2},
    "sampled_gradients": {"samples": 2},
    "vargrad": {"samples": 2},
}


def made(name: str, method: str) -> Explainer:
    """With few samples, and windows and blocks as large as the picture allows."""
    side, *_ = sorted(NETS[name].shape[1:]) or [0]
    if side and method == "occlusion":
        return as_explainer(method, {"window": min(side, 16), "stride": min(side, 16)})
    if side and method == "hierarchical_occlusion":
        most = min(side, 32)
        return as_explainer(method, {"levels": [(most, most), (most // 2, most // 2)], "min_window": 1, "top_k": 1})
    if side and method == "feature_ablation":
        return as_explainer(method, {"side": min(side, 16)})
    return as_explainer(method, CHEAP.get(method, {}))


@cache
def module(name: str) -> nn.Module:
    return NETS[name].module()


@cache
def maps(name: str, method: str) -> list[list[Attribution]]:
    net = NETS[name]
    return explain(made(name, method), net.predictor(module(name)), net.cases(), net.targets)


@cache
def engine(name: str) -> Engine:
    """One for all methods in turn, as a user has; the maps of :func:`maps` each have a new one."""
    return Engine(NETS[name].predictor(module(name)))


def own_scores(name: str) -> torch.Tensor:
    """``(B, T)``, by the network itself, without Pellucid."""
    net = NETS[name]
    with torch.no_grad():
        y = module(name)(*net.shown(net.cases()).values())
    y = y if net.output is None else y[net.output]
    picked = (1, 2) if net.task == "segmentation" else (0, 2)
    return torch.stack([y[:, k].reshape(len(y), -1).sum(1) for k in picked], 1)


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_a_method_keeps_its_word(name: str, method: str) -> None:
    net, cls = NETS[name], EXPLAINERS[method]
    net_module = module(name)
    before = {k: v.clone() for k, v in net_module.state_dict().items()}
    rows = maps(name, method)
    wanted = own_scores(name)
    for b, row in enumerate(rows):
        for t, a in enumerate(row):
            (m,) = a.maps.values()
            assert tuple(m.shape) in (net.shape, net.shape[1:])
            assert torch.isfinite(m).all()
            assert a.score == pytest.approx(float(wanted[b, t]), rel=1e-4, abs=1e-5)
            assert "random_model" not in a.flags
            if cls.complete != "no":
                assert a.notes["completeness_error"] <= 0.0101 or "incomplete" in a.flags
            if method == "lrp":
                assert a.notes["leak"] < 1e-4 or (a.notes["unknown"] and "incomplete" in a.flags)
    (alone,) = explain(made(name, method), engine(name).predictor, net.cases()[1:], net.targets, by=engine(name))
    assert max(gap(a, b, rounding=1e-6) for a, b in zip(rows[1], alone)) < 1e-4
    assert all(torch.equal(v, before[k]) for k, v in net_module.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in net_module.modules())
    assert all(p.requires_grad and p.grad is None for p in net_module.parameters())


@pytest.mark.parametrize(("name", "method"), MISFITS)
def test_a_method_that_does_not_fit_says_so_in_a_sentence(name: str, method: str) -> None:
    net = NETS[name]
    with pytest.raises(UsageError) as error:
        maps(name, method)
    assert len(str(error.value)) > 30
    assert not re.search(r"Traceback|\n|NoneType|has no attribute", str(error.value))
    assert net.targets


@pytest.mark.parametrize("name", [n for n in NETS if "layer" in NETS[n].offers])
def test_the_automatic_layer_is_the_one_a_reader_would_take(name: str) -> None:
    net = NETS[name]
    fresh = Engine(net.predictor(module(name)))
    layer = fresh.layer_for(net.input, fresh.stack(net.cases()))
    assert layer.name == net.layer
    assert max(layer.grid) > 1
