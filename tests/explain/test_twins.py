"""Every method beside its slow literal twin, which shares no line with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contract.families import FAMILIES, explain
from pellucid.core.case import Case
from pellucid.core.fill import Fill
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.engine import Engine, Problem
from pellucid.explain.gradient.integrated_gradients import IntegratedGradients
from pellucid.explain.gradient.smoothgrad import SmoothGrad
from pellucid.explain.shapley.gradient_shap import GradientShap
from reference import gradients as twins
from reference import perturbations as slow

K = 2


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return FAMILIES["picture"].module().double()


def predictor(net: nn.Module) -> Predictor:
    return FAMILIES["picture"].predictor(net)


def score(net: nn.Module):
    return lambda x: net(x[None])[0, K]


def number(net: nn.Module):
    def f(x: np.ndarray) -> float:
        with torch.no_grad():
            return float(net(torch.as_tensor(x)[None])[0, K])

    return f


def ours(method, net: nn.Module, cases: list[Case], **options):
    return [row[0].maps["x"].double() for row in explain(method, predictor(net), cases, [ClassScore(K)], precision="float64", **options)]


def close(a: Tensor, b: Tensor | np.ndarray, tolerance: float = 1e-6) -> None:
    b = torch.as_tensor(b)
    assert float(b.abs().max()) > 1e-4
    assert float((a - b).abs().max()) < tolerance * float(b.abs().max())


CASES = FAMILIES["picture"].cases(2)


def test_saliency_and_input_x_gradient(net: nn.Module) -> None:
    for case, s, p in zip(CASES, ours("saliency", net, CASES), ours("input_x_gradient", net, CASES)):
        x = case.inputs["x"].double()
        g = twins.gradient(score(net), x)
        close(s, g.abs())
        close(p, x * g)


@pytest.mark.parametrize("fill", ["zero", "mean", Fill(kind="constant", value=0.4)])
def test_integrated_gradients(net: nn.Module, fill: object) -> None:
    for case, m in zip(CASES, ours(IntegratedGradients(n_steps=9, baseline=fill), net, CASES)):
        x = case.inputs["x"].double()
        base = {"zero": torch.zeros_like(x), "mean": x.mean((1, 2), keepdim=True).expand_as(x)}.get(
            fill if isinstance(fill, str) else "", torch.full_like(x, 0.4)
        )
        close(m, twins.integrated_gradients(score(net), x, base, 9))


def test_nested_nodes_are_the_midpoint_rule(net: nn.Module) -> None:
    """Keeping the nodes of the level before gives the rule of the last level, not a mixture."""
    rows = explain("integrated_gradients", predictor(net), CASES, [ClassScore(K)], precision="float64")
    used = {int(row[0].notes["nodes"]) for row in rows}
    assert used <= {24, 72, 216, 648}
    for case, row in zip(CASES, rows):
        a = row[0]
        x = case.inputs["x"].double()
        close(a.maps["x"].double(), twins.integrated_gradients(score(net), x, torch.zeros_like(x), a.notes["nodes"]))


def test_smoothgrad_with_the_same_noise(net: nn.Module) -> None:
    problem = Problem(Engine(predictor(net), precision="float64"), CASES, [ClassScore(K)], seed=3)
    maps = ours(SmoothGrad(samples=5, noise=0.2), net, CASES, seed=3)
    for b, (case, m) in enumerate(zip(CASES, maps)):
        copies = torch.arange(5)
        noise = problem.draw("normal", "x", torch.full((5,), b), copies, "smoothgrad")
        assert 0.8 < float(noise.std()) < 1.2
        close(m, twins.smoothgrad(score(net), case.inputs["x"].double(), list(noise), 0.2))


def test_gradient_shap_with_the_same_draws(net: nn.Module) -> None:
    background = FAMILIES["picture"].cases(6)[3:]
    n = 7
    problem = Problem(Engine(predictor(net), precision="float64"), CASES, [ClassScore(K)], seed=3)
    where = problem.draw_numbers(n, "alpha")
    which = (problem.draw_numbers(n, "background") * len(background)).long()
    maps = ours(GradientShap(samples=n), net, CASES, seed=3, background=background)
    for b, (case, m) in enumerate(zip(CASES, maps)):
        alphas = [(i + float(where[b, i])) / n for i in range(n)]
        bases = [background[int(i)].inputs["x"].double() for i in which[b]]
        close(m, twins.gradient_shap(score(net), case.inputs["x"].double(), bases, alphas))


def test_deeplift_by_hand() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 3)).double().eval()
    w1, b1, w2 = (p.detach().numpy() for p in (net[1].weight, net[1].bias, net[3].weight))
    x = torch.randn(1, 3, 4)
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b", "c"])
    for fill, base in (("zero", np.zeros(12)), (0.7, np.full(12, 0.7))):
        ((a,),) = explain("deeplift", p, [Case(id="1", inputs={"x": x})], [ClassScore(1)], precision="float64") if fill == "zero" else (
            explain(_deeplift(fill), p, [Case(id="1", inputs={"x": x})], [ClassScore(1)], precision="float64")
        )
        by_hand = twins.deeplift_two_layers(x.double().numpy().reshape(-1), base, w1, b1, w2[1])
        close(a.maps["x"].double().reshape(-1), by_hand)


def _deeplift(fill: float):
    from pellucid.explain.gradient.deeplift import DeepLift

    return DeepLift(baseline=fill)


@pytest.mark.parametrize(("window", "stride"), [(5, 3), (4, 4), ((6, 3), (2, 3)), (16, 16)])
def test_occlusion(net: nn.Module, window, stride) -> None:
    from pellucid.explain.perturbation.occlusion import Occlusion

    pair = lambda v: v if isinstance(v, tuple) else (v, v)  # noqa: E731
    rows = explain(Occlusion(window=window, stride=stride), predictor(net), CASES[:1], [ClassScore(K)], precision="float64")
    x = CASES[0].inputs["x"].double().numpy()
    fill = np.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)
    expected, windows = slow.occlusion(number(net), x, fill, pair(window), pair(stride))
    assert rows[0][0].notes["windows"] == windows
    assert rows[0][0].cost.forwards == windows + 1
    close(rows[0][0].maps["x"].double(), expected)


def test_occlusion_in_three_dimensions() -> None:
    f = FAMILIES["volume"]
    net, case = f.module().double(), f.cases(1)[0]
    x = case.inputs["ct"].double().numpy()
    from pellucid.explain.perturbation.occlusion import Occlusion

    ((a,),) = explain(Occlusion(window=(2, 4, 3), stride=(2, 3, 3), fill="zero"), f.predictor(net), [case], [ClassScore(K)], precision="float64")
    expected, windows = slow.occlusion(number(net), x, np.zeros_like(x), (2, 4, 3), (2, 3, 3))
    assert a.notes["windows"] == windows
    close(a.maps["ct"].double(), expected)


def test_feature_ablation_of_blocks_and_of_a_region(net: nn.Module) -> None:
    from pellucid.explain.perturbation.feature_ablation import FeatureAblation

    x = CASES[0].inputs["x"].double().numpy()
    fill = np.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)
    row, column = np.indices((16, 16))
    blocks = (row // 5) * 4 + column // 5
    ((a,),) = explain(FeatureAblation(side=5), predictor(net), CASES[:1], [ClassScore(K)], precision="float64")
    close(a.maps["x"].double(), slow.feature_ablation(number(net), x, fill, blocks))
    assert a.notes["features"] == 16
    organs = np.where(row < 4, 7, np.where(column < 9, 0, 3))
    case = CASES[0].replace(regions={"organs": torch.as_tensor(organs)})
    ((a,),) = explain(FeatureAblation(groups="organs"), predictor(net), [case], [ClassScore(K)], precision="float64")
    close(a.maps["x"].double(), slow.feature_ablation(number(net), x, fill, organs))
    assert a.notes["features"] == 3
    assert a.cost.forwards == 4
