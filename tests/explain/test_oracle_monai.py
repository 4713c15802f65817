"""MONAI as an independent reference, where it defines the same thing."""

from __future__ import annotations

import pytest
import torch
from monai.visualize import GradCAM, OcclusionSensitivity

from contract.families import FAMILIES, explain
from pellucid.core.target import ClassScore
from pellucid.explain.cam.grad_cam import GradCam
from pellucid.explain.perturbation.occlusion import Occlusion

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own
K = 2


@pytest.mark.parametrize("family", ["picture", "volume"])
def test_grad_cam_before_monai_normalises(family: str) -> None:
    f = FAMILIES[family]
    name = next(iter(f.shapes))
    module = f.module()
    module.parts[name].relu.inplace = False
    rows = explain(GradCam(layer=f"parts.{name}.second"), f.predictor(module), f.cases(2), [ClassScore(K)])
    for case, row in zip(f.cases(2), rows):
        mode = "bilinear" if len(f.shapes[name]) == 3 else "trilinear"
        cam = GradCAM(
            module, target_layers=f"parts.{name}.second", postprocessing=lambda m: m,
            upsampler=lambda size, mode=mode: lambda m: torch.nn.functional.interpolate(m, size=tuple(size), mode=mode),
        )  # fmt: skip
        theirs = cam(x=case.inputs[name][None], class_idx=K)[0, 0].detach()
        assert float(theirs.max()) > 1e-4
        torch.testing.assert_close(row[0].maps[name], theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("family", "window"), [("picture", 4), ("volume", (2, 5, 4))])
def test_occlusion_without_overlap(family: str, window) -> None:
    """MONAI returns the output with the window occluded; ours is the drop. Windows that tile the picture are the same."""
    f = FAMILIES[family]
    name = next(iter(f.shapes))
    module, case = f.module(), f.cases(1)[0]
    x = case.inputs[name][None]
    theirs, _ = OcclusionSensitivity(module, mask_size=window, mode=0.25, overlap=0.0, activate=False, verbose=False)(x)
    with torch.no_grad():
        wanted = module(x)[0, K] - theirs[0, K].as_tensor()
    ((ours,),) = explain(Occlusion(window=window, stride=window, fill=0.25), f.predictor(module), [case], [ClassScore(K)])
    assert float(wanted.abs().max()) > 1e-3
    torch.testing.assert_close(ours.maps[name], wanted, rtol=1e-3, atol=1e-5)
