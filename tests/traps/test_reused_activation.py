"""Trap: Captum's DeepLIFT raises on a ReLU that is used twice, as in most ResNets."""

from __future__ import annotations

import pytest
import torch
from captum.attr import DeepLift as CaptumDeepLift
from monai.networks.nets import ResNet
from torch import nn

from contract.families import explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore


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
