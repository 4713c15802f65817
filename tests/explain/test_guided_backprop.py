"""Guided backpropagation: by hand, on what is and what is not a ReLU, and how little it knows of the model."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract.families import explain
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.errors import UsageError
from pellucid.explain.gradient.guided_backprop import GuidedBackprop

CASE = Case(id="1", inputs={"x": torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(2))})
RELUS = {
    "relu": F.relu, "torch.relu": torch.relu, "relu_": torch.relu_, "method": lambda h: h.relu(),
    "in place": lambda h: F.relu(h, inplace=True), "in place by position": lambda h: F.relu(h, True), "module": nn.ReLU(),
    "clamp": lambda h: h.clamp(min=0), "clamp_": lambda h: h.clamp_(0), "clamp_min": lambda h: torch.clamp_min(h, 0),
    "threshold": lambda h: F.threshold(h, 0, 0), "relu6": lambda h: F.relu6(h / 20) * 20,
    "hardtanh": lambda h: F.hardtanh(h, 0.0, 50.0),
}  # fmt: skip
OTHERS = {
    "leaky_relu": (lambda h: F.leaky_relu(h, 0.1), lambda h: torch.where(h > 0, 1.0, 0.1)),
    "prelu": (nn.PReLU(init=0.2), lambda h: torch.where(h > 0, 1.0, 0.2)),
    "elu": (F.elu, lambda h: torch.where(h > 0, torch.ones_like(h), h.exp())),
    "silu": (F.silu, lambda h: torch.sigmoid(h) * (1 + h * (1 - torch.sigmoid(h)))),
    "softplus": (F.softplus, torch.sigmoid),
}


class Net(nn.Module):
    """Two dense layers with any activation behind them."""

    def __init__(self, act) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.a, self.b, self.c, self.act = nn.Linear(16, 24), nn.Linear(24, 24), nn.Linear(24, 2), act
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.act(self.b(self.act(self.a(x.flatten(1))))))


def one(net: nn.Module, method: GuidedBackprop | None = None) -> Attribution:
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b"])
    ((a,),) = explain(method or GuidedBackprop(), p, [CASE], [ClassScore(1)])
    return a


def by_hand(net: Net, act, slope) -> Tensor:
    """``Wᵀ (f'(z) · max(G, 0) · [z > 0])``, layer by layer."""
    with torch.no_grad():
        z1 = net.a(CASE.inputs["x"].flatten())
        z2 = net.b(act(z1.clone()))
        g = net.c.weight[1]
        for layer, z in ((net.b, z2), (net.a, z1)):
            g = layer.weight.T @ (slope(z) * (z > 0) * g.clamp(min=0))
    return g.view(1, 4, 4)


@pytest.mark.parametrize("act", RELUS)
def test_a_relu_is_guided_however_it_is_written(act: str) -> None:
    net = Net(RELUS[act])
    a = one(net)
    wanted = by_hand(net, F.relu, lambda z: (z > 0).float())
    assert float((a.maps["x"] - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())
    assert a.notes["guided"] == 2
    assert a.flags == ()
    with torch.no_grad():
        assert a.score == pytest.approx(float(net(CASE.inputs["x"][None])[0, 1]), rel=1e-5)


@pytest.mark.parametrize("act", OTHERS)
def test_other_rectifiers_keep_their_derivative_and_the_map_says_so(act: str) -> None:
    f, slope = OTHERS[act]
    net = Net(f)
    a = one(net)
    x = CASE.inputs["x"][None].clone().requires_grad_()
    (plain,) = torch.autograd.grad(net(x)[0, 1], x)
    assert float((a.maps["x"] - plain[0]).abs().max()) < 1e-6
    assert "unguided" in a.flags
    assert a.notes == {"guided": 0, "not_guided": [act]}
    b = one(net, GuidedBackprop(activations="all"))
    wanted = by_hand(net, f, slope)
    assert float((b.maps["x"] - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())
    assert b.notes == {"guided": 2, "not_guided": []}
    assert "unguided" not in b.flags


def test_a_clamp_that_is_no_relu_is_left_alone() -> None:
    for act in (lambda h: h.clamp(-0.5, 0.5), F.hardtanh, lambda h: F.threshold(h, 0.1, 0.0)):
        assert "unguided" in one(Net(act)).flags


def test_it_is_one_of_two_words() -> None:
    with pytest.raises(UsageError, match="activations='gelu': choose 'relu' or 'all'"):
        GuidedBackprop(activations="gelu")  # type: ignore[arg-type]


def test_it_hardly_notices_that_the_top_of_the_model_is_random() -> None:
    """Adebayo et al. (2018): why it is here as a warning. Redrawing all layers above the first changes the gradient more."""
    torch.manual_seed(0)
    sizes = [(1, 32), (32, 32), (32, 32)]
    body = [m for i, o in sizes for m in (nn.Conv2d(i, o, 3, padding=1), nn.ReLU())]
    net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2)).eval()
    redrawn = copy.deepcopy(net)
    for m in list(redrawn)[2:]:
        if hasattr(m, "reset_parameters"):
            m.reset_parameters()
    case = Case(id="1", inputs={"x": torch.randn(1, 24, 24)})

    def likeness(method: str) -> float:
        maps = []
        for module in (net, redrawn):
            p = Predictor(module, inputs=["x"], task="classification", classes=["a", "b"])
            maps.append(explain(method, p, [case], [ClassScore(1)])[0][0].maps["x"].flatten())
        return float(torch.corrcoef(torch.stack(maps).abs())[0, 1])

    assert likeness("guided_backprop") > likeness("saliency") + 0.2
