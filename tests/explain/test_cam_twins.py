"""Every class activation map beside its slow literal twin, on a layer behind a ReLU and on one before it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contract.families import explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.explain.make import as_explainer
from reference import cams as twins

K = 1
GRADIENT = ("grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam")


class Net(nn.Module):
    """A layer with a grid of 6 × 5, before and behind a ReLU, and a tail whose gradients differ from place to place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.relu = nn.Conv2d(2, 4, 3, padding=1, stride=2), nn.ReLU()
        self.deep, self.head = nn.Conv2d(4, 5, 3, padding=1), nn.Linear(5 * 30, 3)

    def tail(self, a: Tensor) -> Tensor:
        return self.head(torch.tanh(self.deep(a)).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.relu(self.conv(x)))


NET = Net().double().eval()
CASES = [Case(id=str(i), inputs={"x": torch.randn(2, 12, 10, generator=torch.Generator().manual_seed(i))}) for i in range(2)]


def inside(case: Case, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """The layer's maps and the gradients of class K to them, by plain autograd."""
    a = NET.conv(case.inputs["x"].double()[None])
    a = (a.relu() if layer == "relu" else a).detach().requires_grad_()
    NET.tail(a if layer == "relu" else a.relu())[0, K].backward()
    return a[0].detach().numpy(), a.grad[0].numpy()


def check(method: str, layer: str, twin, **options) -> None:
    p = Predictor(NET, inputs=["x"], task="classification", classes=list("abc"))
    for sign in ("signed", "positive"):
        explainer = as_explainer(method, {"layer": layer, "sign": sign, **options})
        for case, (a,) in zip(CASES, explain(explainer, p, CASES, [ClassScore(K)], precision="float64")):
            wanted = twin(case)
            wanted = twins.upsampled(np.maximum(wanted, 0) if sign == "positive" else wanted, (12, 10))
            assert sign == "positive" or np.abs(wanted).max() > 1e-4
            np.testing.assert_allclose(a.maps["x"].numpy(), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("layer", ["relu", "conv"])
@pytest.mark.parametrize("method", GRADIENT)
def test_gradient_cams(method: str, layer: str) -> None:
    check(method, layer, lambda case: getattr(twins, method)(*inside(case, layer)))


@pytest.mark.parametrize("layer", ["relu", "conv"])
@pytest.mark.parametrize("centre", [False, True])
def test_eigen_cam(layer: str, centre: bool) -> None:
    check("eigen_cam", layer, lambda case: twins.eigen_cam(inside(case, layer)[0], centre=centre), centre=centre)


def number(x: np.ndarray) -> float:
    with torch.no_grad():
        return float(NET(torch.tensor(x)[None])[0, K])


@pytest.mark.parametrize("layer", ["relu", "conv"])
@pytest.mark.parametrize("weights", ["increase", "softmax"])
@pytest.mark.parametrize("fill", ["mean", 0.3])
def test_score_cam(layer: str, weights: str, fill: object) -> None:
    def twin(case: Case) -> np.ndarray:
        x = case.inputs["x"].double().numpy()
        absent = np.broadcast_to(x.mean((1, 2), keepdims=True) if fill == "mean" else 0.3, x.shape)
        return twins.score_cam(number, x, absent, inside(case, layer)[0], softmax=weights == "softmax")

    check("score_cam", layer, twin, weights=weights, fill=fill)


@pytest.mark.parametrize("layer", ["relu", "conv"])
def test_ablation_cam(layer: str) -> None:
    def tail(a: np.ndarray) -> float:
        with torch.no_grad():
            a = torch.as_tensor(a)[None]
            return float(NET.tail(a if layer == "relu" else a.relu())[0, K])

    check("ablation_cam", layer, lambda case: twins.ablation_cam(tail, inside(case, layer)[0]))
