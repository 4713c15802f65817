"""Grad-CAM++."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.engine.layers import Layer
from pellucid.engine.problem import Problem
from pellucid.explain.cam.base import Cam, from_gradients


@dataclass(frozen=True, kw_only=True)
class GradCamPlusPlus(Cam):
    """``ReLU(Σ_k w_k A_k)``, ``w_k = Σ_v α_k(v) ReLU(g_k(v))``, ``α = g² / (2 g² + g³ Σ_v A_k)``.

    This is the paper's closed form for the score ``exp(y)``, whose second and third derivatives are ``exp(y) g²`` and
    ``exp(y) g³`` where the model is piecewise linear. ``exp(y)`` cancels in α; in w it is one positive factor for the
    whole map, and left out, so the map is finite at any finite score. α is computed as ``1 / (2 + g Σ ReLU(A))``: the
    same thing behind a ReLU, for which the paper derives it; on a layer with negative values the denominator could
    vanish otherwise.

    Budget: 1 forward, 1 backward per target down to the layer. Source: chattopadhay2018gradcam.
    """

    name = "grad_cam_pp"
    source = "chattopadhay2018gradcam"

    def grids(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Tensor]:
        """``Σ_k w_k A_k``."""
        return from_gradients(problem, chosen, _formula)


def _formula(a: Tensor, g: Tensor) -> Tensor:
    up = g.clamp(min=0)
    alpha = 1 / (2 + up * a.clamp(min=0).sum(3, keepdim=True))
    return ((alpha * up).sum(3, keepdim=True) * a).sum(2)
