"""Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.engine.layers import Layer
from pellucid.engine.problem import Problem
from pellucid.explain.cam.base import Cam, from_gradients


@dataclass(frozen=True, kw_only=True)
class GradCam(Cam):
    """``ReLU(Σ_k mean(∂y/∂A_k) · A_k)``: a layer's maps, weighed by their mean gradient.

    For a segmentation target this is Seg-Grad-CAM.

    Budget: 1 forward without a graph below the layer, 1 backward per target down to the layer. Source:
    selvaraju2017gradcam, vinogradova2020towards.
    """

    name = "grad_cam"
    source = "selvaraju2017gradcam"

    def grids(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Tensor]:
        """``Σ_k mean(g_k) A_k``."""
        return from_gradients(problem, chosen, lambda a, g: (g.mean(3, keepdim=True) * a).sum(2))
