"""Eigen-CAM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.engine.layers import Layer
from pellucid.engine.problem import Problem
from pellucid.explain.cam.base import Cam, names


@dataclass(frozen=True, kw_only=True)
class EigenCam(Cam):
    """A layer's maps projected on their first principal component: what the layer responds to, whatever the target.

    The component is taken as in the paper, without centring. Its sign is free; it is chosen so that ``Σ m |m|`` is
    positive: most of the map's energy is.

    Budget: 1 forward. Source: muhammad2020eigencam.

    Attributes:
        centre: subtract each channel's mean first, as pytorch-grad-cam does: the map then shows departures from the
            mean.
    """

    name = "eigen_cam"
    source = "muhammad2020eigencam"
    targeted = False
    passes = "1 F"
    centre: bool = False

    def grids(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Tensor]:
        """``σ_1 v_1ᵀ`` of ``A`` as a matrix of channels by places, the same for every target."""
        acts, _ = problem.activations(names(chosen), gradients=False)
        maps = {}
        for name, layer in chosen.items():
            a = acts[layer.name].flatten(2).double()
            if self.centre:
                a = a - a.mean(2, keepdim=True)
            _, strength, places = torch.linalg.svd(a, full_matrices=False)
            m = strength[:, :1] * places[:, 0]
            m = m * torch.where((m * m.abs()).sum(1, keepdim=True) < 0, -1.0, 1.0)
            m = m.to(acts[layer.name])[:, None].expand(-1, len(problem.targets), -1)
            maps[name] = m.unflatten(2, layer.grid)
        return maps
