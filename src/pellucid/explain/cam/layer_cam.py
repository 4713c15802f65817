"""Layer-CAM."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.engine.layers import Layer
from pellucid.engine.problem import Problem
from pellucid.explain.cam.base import Cam, from_gradients


@dataclass(frozen=True, kw_only=True)
class LayerCam(Cam):
    """``ReLU(Σ_k ReLU(∂y/∂A_k) ∘ A_k)``: places with a positive gradient alone; made for early, fine layers too.

    Budget: 1 forward, 1 backward per target down to the layer. Source: jiang2021layercam.
    """

    name = "layer_cam"
    source = "jiang2021layercam"

    def grids(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Tensor]:
        """``Σ_k ReLU(g_k) ∘ A_k``; negative only where the layer itself is."""
        return from_gradients(problem, chosen, lambda a, g: (g.clamp(min=0) * a).sum(2))
