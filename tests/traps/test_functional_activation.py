"""Trap: Captum's DeepLIFT sees modules alone; with ``torch.relu`` or GELU it misses the output without a warning."""

from __future__ import annotations

import pytest
import torch
from captum.attr import DeepLift as CaptumDeepLift
from captum.attr import DeepLiftShap as CaptumDeepLiftShap
from captum.attr import GuidedBackprop as CaptumGuidedBackprop
from torch import Tensor, nn

from contract.families import explain
from peers import peer
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore

ACTS = {"torch.relu": torch.relu, "functional gelu": nn.functional.gelu, "GELU module": nn.GELU()}


class Net(nn.Module):
    def __init__(self, act) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.a, self.b, self.c, self.act = nn.Linear(16, 24), nn.Linear(24, 24), nn.Linear(24, 2), act

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.act(3 * self.b(self.act(3 * self.a(x.flatten(1))))))


CASE = Case(id="1", inputs={"x": torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(2))})


@pytest.mark.parametrize("act", ACTS)
def test_complete_with_any_form_of_activation(act: str) -> None:
    p = Predictor(Net(ACTS[act]).eval(), inputs=["x"], task="classification", classes=["a", "b"])
    ((a,),) = explain("deeplift", p, [CASE], [ClassScore(1)])
    assert a.notes["completeness_error"] < 1e-4
    assert "incomplete" not in a.flags


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("act", ACTS)
def test_captum_still_misses(act: str) -> None:
    net = Net(ACTS[act]).eval()
    x = CASE.inputs["x"][None]
    change = float((net(x) - net(torch.zeros_like(x)))[0, 1])
    theirs = CaptumDeepLift(net).attribute(x, torch.zeros_like(x), target=1)
    assert abs(float(theirs.sum()) - change) > 0.05 * abs(change)


# -- the same trap in DeepSHAP ---------------------------------------------------------------------------------


USUAL = [Case(id=f"u{i}", inputs={"x": torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(10 + i))}) for i in range(3)]


@pytest.mark.parametrize("act", ACTS)
def test_deepshap_is_complete_with_any_form_of_activation(act: str) -> None:
    p = Predictor(Net(ACTS[act]).eval(), inputs=["x"], task="classification", classes=["a", "b"])
    ((a,),) = explain("deepshap", p, [CASE], [ClassScore(1)], background=USUAL)
    assert a.notes["completeness_error"] < 1e-4


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("act", ACTS)
def test_captum_and_shap_still_miss_in_deepshap(act: str) -> None:
    """SHAP notices by its own check, unless that is off; Captum says nothing."""
    import shap

    net, usual = Net(ACTS[act]).eval(), torch.stack([c.inputs["x"] for c in USUAL])
    x = CASE.inputs["x"][None]
    with torch.no_grad():
        change = float((net(x) - net(usual).mean(0))[0, 1])
    theirs = CaptumDeepLiftShap(net).attribute(x, usual, target=1)
    assert abs(float(theirs.sum()) - change) > 0.05 * abs(change)
    with pytest.raises(AssertionError, match="do not sum up to the model's output"):
        shap.DeepExplainer(Net(ACTS[act]).eval(), usual).shap_values(x)
    values = shap.DeepExplainer(Net(ACTS[act]).eval(), usual).shap_values(x, check_additivity=False)
    assert abs(float(values[..., 1].sum()) - change) > 0.05 * abs(change)


# -- the same trap in guided backpropagation: a ReLU that is not a module is not guided, and nothing says so --------


class Convolutional(nn.Module):
    def __init__(self, act) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.a, self.b, self.c, self.act = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 2), nn.Linear(6, 2), act

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.act(self.b(self.act(self.a(x)))).flatten(1))


def guided(net: nn.Module) -> Tensor:
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b"])
    return explain("guided_backprop", p, [CASE], [ClassScore(1)])[0][0].maps["x"]


def test_guided_backprop_is_the_same_with_any_form_of_relu() -> None:
    maps = [guided(Convolutional(act).eval()) for act in (nn.ReLU(), torch.relu, torch.relu_, nn.functional.relu)]
    assert float(maps[0].abs().max()) > 1e-4
    assert all(torch.equal(m, maps[0]) for m in maps[1:])


@pytest.mark.filterwarnings("ignore")
def test_captum_and_zennit_still_give_the_plain_gradient_for_a_functional_relu() -> None:
    net = Convolutional(torch.relu).eval()
    x = CASE.inputs["x"][None].clone().requires_grad_()
    (plain,) = torch.autograd.grad(net(x)[0, 1], x)
    seed = torch.tensor([[0.0, 1.0]])
    with peer("zennit.attribution").Gradient(net, composite=peer("zennit.composites").GuidedBackprop()) as attributor:
        _, zennits = attributor(x.detach().clone(), seed)
    for theirs in (CaptumGuidedBackprop(net).attribute(x, target=1), zennits):
        assert float((theirs - plain).abs().max()) < 1e-6
        assert float((theirs[0] - guided(net)).abs().max()) > 0.1 * float(plain.abs().max())
