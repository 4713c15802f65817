"""Trap: a map that is the same everywhere to 1 %, stretched over the whole colour bar, looks certain."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from contract.families import explain
from peers import peer
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore


class Mean(nn.Module):
    """The mean grey value, and next to nothing else."""

    def __init__(self, more: float) -> None:
        super().__init__()
        weight = torch.ones(1, 8, 8)
        weight[0, 2:4, 2:4] += more
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        s = (self.weight * x).flatten(1).mean(1, keepdim=True)
        return torch.cat([s, -s], 1)


def maps(more: float):
    p = Predictor(Mean(more).eval(), inputs=["x"], task="classification", classes=["a", "b"])
    case = Case(id="1", inputs={"x": torch.ones(1, 8, 8)})
    return [explain(m, p, [case], [ClassScore(0)])[0][0] for m in ("saliency", "integrated_gradients", "input_x_gradient", "deeplift")]


def test_a_flat_map_is_flagged_and_keeps_its_values() -> None:
    for a in maps(0.01):
        assert "flat" in a.flags
        assert a.checks["not_flat"].status == "warn"
        assert "nearly the same everywhere" in a.checks["not_flat"].sentence
        m = a.maps["x"]
        assert 0 < float(m.max() - m.min()) < 0.011 * float(m.max()), "the stored map is not stretched"


def test_a_map_with_a_place_is_not() -> None:
    for a in maps(1.0):
        assert "flat" not in a.flags
        assert a.checks["not_flat"].status == "pass"


class Pooled(nn.Module):
    """A layer that responds everywhere alike, to 1 %, and a head that takes the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 1)
        with torch.no_grad():
            self.layer.weight.fill_(1.0)
            self.layer.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).mean((2, 3))


def nearly_even() -> Tensor:
    x = torch.ones(1, 8, 8)
    x[0, 2:4, 2:4] += 0.01
    return x


@pytest.mark.parametrize("method", ["cam", "grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam", "ablation_cam", "eigen_cam"])
def test_a_flat_class_activation_map_is_flagged(method: str) -> None:
    p = Predictor(Pooled().eval(), inputs=["x"], task="classification", classes=["a", "b"])
    ((a,),) = explain(method, p, [Case(id="1", inputs={"x": nearly_even()})], [ClassScore(0)])
    m = a.maps["x"]
    assert "flat" in a.flags
    assert 0 < float(m.max() - m.min()) < 0.011 * float(m.max())


@pytest.mark.filterwarnings("ignore")
def test_pytorch_grad_cam_still_stretches_it() -> None:
    net = Pooled().eval()
    made = peer("pytorch_grad_cam").GradCAM(model=net, target_layers=[net.layer])
    shown = made(input_tensor=nearly_even()[None], targets=[lambda out: out[0]])[0]
    assert shown.min() < 0.01
    assert shown.max() > 0.99
