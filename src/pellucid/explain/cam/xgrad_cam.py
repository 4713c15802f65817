"""XGrad-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.engine.layers import Layer
from pellucid.engine.problem import Problem
from pellucid.explain.cam.base import Cam, from_gradients

CANCELS = 1e-6


@dataclass(frozen=True, kw_only=True)
class XGradCam(Cam):
    """``ReLU(Σ_k w_k A_k)``, ``w_k = Σ_v g_k(v) A_k(v) / Σ_v A_k(v)``: gradients weighed by the activation.

    The signed map adds up to ``Σ g ∘ A``. A channel whose activations cancel to one part in a million has no weight:
    there the formula divides by nothing.

    Budget: 1 forward, 1 backward per target down to the layer. Source: fu2020axiom.
    """

    name = "xgrad_cam"
    source = "fu2020axiom"

    def grids(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Tensor]:
        """``Σ_k w_k A_k``."""
        return from_gradients(problem, chosen, _formula)


def _formula(a: Tensor, g: Tensor) -> Tensor:
    total, size = a.sum(3, keepdim=True), a.abs().sum(3, keepdim=True)
    cancels = total.abs() <= CANCELS * size
    share = torch.where(cancels, 0, a / torch.where(cancels, 1, total))
    return ((g * share).sum(3, keepdim=True) * a).sum(2)
