"""Trap: MONAI's default post-processing turns the maximum of a map into 0."""

from __future__ import annotations

import pytest
import torch
from monai.visualize import GradCAM

from contract.families import FAMILIES, explain
from peers import peer
from pellucid.explain.cam.grad_cam import GradCam
from pellucid.explain.make import as_explainer

F = FAMILIES["picture"]


def test_raw_values_are_kept_and_the_maximum_is_the_maximum() -> None:
    case = F.cases(1)[0]
    ((a, b),) = explain(GradCam(layer="parts.x.second"), F.predictor(), [case], F.targets)
    ((a2, _),) = explain(GradCam(layer="parts.x.second"), F.predictor(_scaled(3.0)), [case], F.targets)
    torch.testing.assert_close(3 * a.maps["x"], a2.maps["x"], rtol=1e-4, atol=1e-6)
    assert float(a.maps["x"].max()) != float(b.maps["x"].max())


def _scaled(by: float) -> torch.nn.Module:
    module = F.module()
    module.head.weight.data.mul_(by)
    return module


def test_monai_still_does() -> None:
    module, x = F.module(), F.cases(1)[0].inputs["x"][None]
    module.parts["x"].relu.inplace = False
    raw = GradCAM(module, target_layers="parts.x.second", postprocessing=lambda m: m)(x=x, class_idx=0)[0, 0]
    shown = GradCAM(module, target_layers="parts.x.second")(x=x, class_idx=0)[0, 0]
    top = raw.argmax()
    assert float(raw.flatten()[top]) > 0
    assert float(shown.flatten()[top]) == 0


@pytest.mark.parametrize("method", ["cam", "grad_cam", "hires_cam", "xgrad_cam", "score_cam", "ablation_cam"])
def test_turning_the_class_round_turns_the_signed_map_round(method: str) -> None:
    """The evidence against is kept: a head of the opposite weights gives the opposite map."""
    cases = F.cases(2)
    rows, turned = (
        explain(as_explainer(method, {"sign": "signed"}), F.predictor(_scaled(by)), cases, F.targets) for by in (1.0, -1.0)
    )
    for row, other in zip(rows, turned):
        for a, b in zip(row, other):
            m = a.maps["x"]
            assert float((m + b.maps["x"]).abs().max()) < 1e-4 * max(float(m.abs().max()), 0.1)
            assert float(m.min()) < 0 or float(b.maps["x"].min()) < 0


@pytest.mark.filterwarnings("ignore")
def test_pytorch_grad_cam_still_gives_a_class_without_evidence_its_full_range() -> None:
    """A class ten times weaker is shown as strong: the map's scale is lost with the stretching over 0–1."""
    x = F.cases(1)[0].inputs["x"][None]
    tops, raw = [], []
    for by in (1.0, 0.1):
        module = _scaled(by)
        module.parts["x"].relu.inplace = False
        cam = peer("pytorch_grad_cam").GradCAM(model=module, target_layers=[module.parts["x"].second])
        tops.append(float(cam(input_tensor=x, targets=[lambda out: out[0]])[0].max()))
        ((a,),) = explain(GradCam(layer="parts.x.second"), F.predictor(module), F.cases(1), F.targets[:1])
        raw.append(float(a.maps["x"].max()))
    assert tops[0] == pytest.approx(tops[1], rel=1e-3)
    assert raw[1] == pytest.approx(0.1 * raw[0], rel=1e-3)
