"""Trap: MONAI's default post-processing turns the maximum of a map into 0."""

from __future__ import annotations

import torch
from monai.visualize import GradCAM

from contract.families import FAMILIES, explain
from pellucid.explain.cam.grad_cam import GradCam

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
