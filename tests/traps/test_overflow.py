"""Trap: MONAI's Grad-CAM++ gives NaN at logits near 100, where it takes their exponential."""

from __future__ import annotations

import pytest
import torch
from monai.visualize import GradCAMpp
from torch import Tensor, nn

from contract.families import FAMILIES, METHODS, changed, explain
from peers import peer
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import Score
from pellucid.explain.cam.ablation_cam import AblationCam
from pellucid.explain.cam.grad_cam_pp import GradCamPlusPlus

F = FAMILIES["picture"]


def loud():
    """Logits of about 100 and more."""
    return changed(F.module(), lambda m: (m.head.weight.mul_(20), m.head.bias.fill_(120.0)))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("method", [m for m in METHODS if F.runs(m)])
def test_finite_at_any_finite_logit(method: str, precision: str) -> None:
    for row in explain(method, F.predictor(loud()), F.cases(), F.targets, precision=precision):
        for a in row:
            assert abs(a.score) > 30
            assert all(torch.isfinite(m).all() for m in a.maps.values())
            assert a.checks["finite"].status == "pass"


def test_monai_still_does() -> None:
    module = loud()
    module.parts["x"].relu.inplace = False
    x = F.cases(1)[0].inputs["x"][None]
    with torch.no_grad():
        k = int(module(x).argmax())
        assert float(module(x).max()) > 90
    cam = GradCAMpp(module, target_layers="parts.x.second", postprocessing=lambda m: m)(x=x, class_idx=k)
    assert not torch.isfinite(cam).all()


class Signed(nn.Module):
    """A layer whose activations nearly sum to ``−2 / g``: there the denominator of Grad-CAM++ vanishes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Conv2d(1, 1, 1), nn.Linear(1, 1)
        with torch.no_grad():
            self.layer.weight.fill_(1.0)
            self.layer.bias.zero_()
            self.head.weight.fill_(1.0)
            self.head.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x).flatten(2).mean(2))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("gap", [1e-3, -1e-3])
def test_a_denominator_that_vanishes(gap: float) -> None:
    """With a mean of −2 the formula divides by nothing: the peer's map explodes, and turns over with the side."""
    x = torch.full((1, 4, 4), -2.0 + gap)
    x[0, 0, 0] += 0.5
    x[0, 1, 1] -= 0.5
    net = Signed().eval()
    p = Predictor(net, inputs=["x"], task="regression")
    ((a,),) = explain(GradCamPlusPlus(layer="layer", sign="signed"), p, [Case(id="1", inputs={"x": x})], [Score(0)])
    assert float(a.maps["x"].abs().max()) < 2.5
    made = peer("pytorch_grad_cam").GradCAMPlusPlus(model=net, target_layers=[net.layer])
    inner, caught = made.get_cam_weights, []
    made.get_cam_weights = lambda *args: caught.append(inner(*args)) or caught[-1]
    made(input_tensor=x[None], targets=[lambda out: out[0]])
    weight = float(caught[0].item())
    assert abs(weight) > 50
    assert weight * gap > 0


@pytest.mark.filterwarnings("ignore")
def test_a_channel_is_taken_away_not_driven_to_minus_ten_million() -> None:
    """pytorch-grad-cam's Ablation-CAM writes its minimum − 10⁷ into a channel, unless the layer's minimum is exactly 0."""
    x = torch.linspace(-1, 1, 16).view(1, 4, 4)
    net = Signed().eval()
    p = Predictor(net, inputs=["x"], task="regression")
    with torch.no_grad():
        net.head.bias.fill_(3.0)
    case = Case(id="1", inputs={"x": x + 0.5})
    ((a,),) = explain(AblationCam(layer="layer", sign="signed"), p, [case], [Score(0)])
    torch.testing.assert_close(a.maps["x"], 0.5 * case.inputs["x"][0])  # the channel's mean is what it adds
    made = peer("pytorch_grad_cam").AblationCAM(model=net, target_layers=[net.layer])
    inner, caught = made.get_cam_weights, []
    made.get_cam_weights = lambda *args: caught.append(inner(*args)) or caught[-1]
    made(input_tensor=case.inputs["x"][None], targets=[lambda out: out[0]])
    assert float(caught[0].item()) > 1e6
