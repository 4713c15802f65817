"""HiResCAM."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.engine.layers import Layer
from pellucid.engine.problem import Problem
from pellucid.explain.cam.base import Cam, from_gradients


@dataclass(frozen=True, kw_only=True)
class HiResCam(Cam):
    """``ReLU(Σ_k ∂y/∂A_k ∘ A_k)``: every place weighed by its own gradient, none averaged away.

    Where everything behind the layer is linear, the signed map adds up on the layer's grid to the score less the bias.

    Budget: 1 forward, 1 backward per target down to the layer. Source: draelos2020use.
    """

    name = "hires_cam"
    source = "draelos2020use"

    def grids(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Tensor]:
        """``Σ_k g_k ∘ A_k``."""
        return from_gradients(problem, chosen, lambda a, g: (g * a).sum(2))
