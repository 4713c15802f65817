"""Trap: Captum's DeepLIFT raises on a ReLU that is used twice, as in most ResNets."""

from __future__ import annotations

import pytest
import torch
from captum.attr import LRP as CaptumLrp
from captum.attr import DeepLift as CaptumDeepLift
from captum.attr import DeepLiftShap as CaptumDeepLiftShap
from monai.networks.nets import ResNet
from torch import Tensor, nn

from contract.families import explain
from peers import peer
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.explain.gradient.lrp import Lrp


def resnet() -> nn.Module:
    torch.manual_seed(0)
    return ResNet("basic", [1, 1, 1, 1], [8, 8, 16, 16], spatial_dims=2, n_input_channels=1, num_classes=2).eval()


CASE = Case(id="1", inputs={"x": torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(2))})


@pytest.mark.parametrize("in_place", [True, False])
def test_a_residual_network_with_shared_activations_is_complete(in_place: bool) -> None:
    net = resnet()
    for m in net.modules():
        if isinstance(m, nn.ReLU):
            m.inplace = in_place
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b"])
    ((a,),) = explain("deeplift", p, [CASE], [ClassScore(1)])
    assert a.notes["completeness_error"] < 1e-3
    with torch.no_grad():
        assert a.score == pytest.approx(float(net(CASE.inputs["x"][None])[0, 1]), rel=1e-4)
    assert {m.inplace for m in net.modules() if isinstance(m, nn.ReLU)} == {in_place}


@pytest.mark.filterwarnings("ignore")
def test_captum_still_raises() -> None:
    with pytest.raises((RuntimeError, AssertionError)):
        CaptumDeepLift(resnet()).attribute(CASE.inputs["x"][None], target=1)


USUAL = [Case(id=f"u{i}", inputs={"x": torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(10 + i))}) for i in range(2)]


def test_deepshap_of_a_residual_network_with_shared_activations_is_complete() -> None:
    p = Predictor(resnet(), inputs=["x"], task="classification", classes=["a", "b"])
    ((a,),) = explain("deepshap", p, [CASE], [ClassScore(1)], background=USUAL)
    assert a.notes["completeness_error"] < 1e-3


@pytest.mark.filterwarnings("ignore")
def test_captum_and_shap_still_raise_in_deepshap() -> None:
    import shap

    x, usual = CASE.inputs["x"][None], torch.stack([c.inputs["x"] for c in USUAL])
    with pytest.raises((RuntimeError, AssertionError)):
        CaptumDeepLiftShap(resnet()).attribute(x, usual, target=1)
    with pytest.raises((RuntimeError, AssertionError)):
        shap.DeepExplainer(resnet(), usual).shap_values(x)


# -- the same trap in relevance propagation: what modules alone show of a residual block --------------------------


class Residual(nn.Module):
    """No biases, so that relevance has to add up to the score."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.pool, self.flat, self.head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.a(x))
        return self.head(self.flat(self.pool(self.relu(self.b(h) + h))))


def share_found(total: float, net: nn.Module) -> float:
    with torch.no_grad():
        return total / float(net(CASE.inputs["x"][None])[0, 1])


@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "epsilon_gamma"])
def test_relevance_of_a_residual_block_is_the_score(composite: str) -> None:
    net = Residual().eval()
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b"])
    ((a,),) = explain(Lrp(composite=composite, epsilon=1e-9), p, [CASE], [ClassScore(1)])  # type: ignore[arg-type]
    assert share_found(float(a.maps["x"].sum()), net) == pytest.approx(1, abs=1e-3)
    assert a.notes["leak"] < 1e-4


@pytest.mark.filterwarnings("ignore")
def test_zennit_and_captum_still_count_a_residual_block_twice() -> None:
    """The sum is no module, so both branches get all of its relevance (zennit has canonisers for torchvision's nets)."""
    net, x = Residual().eval(), CASE.inputs["x"][None]
    composite = peer("zennit.composites").EpsilonPlus(epsilon=1e-9)

    def score(output: Tensor) -> Tensor:
        return output.detach() * torch.tensor([0.0, 1.0])

    with peer("zennit.attribution").Gradient(net, composite=composite, attr_output=score) as attributor:
        _, zennits = attributor(x.clone())
    assert share_found(float(zennits.sum()), net) > 1.8
    net.flat.rule = peer("captum.attr._utils.lrp_rules").EpsilonRule()  # Captum has none for Flatten
    theirs = float(CaptumLrp(net).attribute(x, target=1).sum().detach())
    assert abs(share_found(theirs, Residual().eval()) - 1) > 0.1
