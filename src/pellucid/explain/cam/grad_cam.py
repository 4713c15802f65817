"""Grad-CAM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.engine.problem import Problem
from pellucid.errors import UsageError, nearest

UPSAMPLE = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True, kw_only=True)
class GradCam(Explainer):
    """``ReLU(Σ_k mean(∂y/∂A_k) · A_k)`` on a layer's maps ``A``, upsampled linearly to the input.

    The layer is found by running the model (the last map on the way from *this* input; for a segmentation the last
    one on the coarsest grid), so every image input has its own; ``layer`` names it instead. Tables get no map. For a
    segmentation target this is Seg-Grad-CAM.

    Budget: 1 forward without a graph below the layer, 1 backward per target down to the layer. Source:
    selvaraju2017gradcam, vinogradova2020towards.

    Attributes:
        layer: a layer's name, or input name to layer name; found automatically by default.
        sign: ``"positive"`` (the method's ReLU) or ``"signed"``.
    """

    name = "grad_cam"
    family = "cam"
    source = "selvaraju2017gradcam"
    needs = ("layer",)
    tables = False
    resolution = "layer"
    passes = "1 F, T B"
    layer: str | Mapping[str, str] | None = None
    sign: Literal["positive", "signed"] = "positive"

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.sign in ("positive", "signed"), f"sign={self.sign!r}: choose 'positive' or 'signed'")

    def attribute(self, problem: Problem) -> Result:
        """Weigh the layer's maps by their mean gradient."""
        chosen = {n: problem.layer(n, self._name(n, problem)) for n in problem.images}
        require(bool(chosen), "Grad-CAM needs an input with spatial axes; this model has tables only")
        acts, grads = problem.activations(sorted({x.name for x in chosen.values()}))
        maps = {}
        for name, layer in chosen.items():
            a, g = acts[layer.name][:, None], grads[layer.name]
            weights = g.flatten(3).mean(3)
            cam = (weights.view(*weights.shape, *[1] * (a.ndim - 3)) * a).sum(2)
            if self.sign == "positive":
                cam = cam.clamp(min=0)
            maps[name] = upsample(cam, tuple(problem.inputs[name].shape[2:]))
        return Result(maps, notes={"layers": problem.describe_layers(chosen)})

    def _name(self, input_name: str, problem: Problem) -> str | None:
        if isinstance(self.layer, Mapping):
            for key in self.layer:
                if key not in problem.images:
                    raise UsageError(f"layer={{{key!r}: …}}: no such image input; {nearest(key, problem.images)}")
            return self.layer.get(input_name)
        return self.layer

    def describe(self) -> dict[str, Any]:
        """The options as plain values."""
        layer = dict(self.layer) if isinstance(self.layer, Mapping) else self.layer
        return {"layer": layer, "sign": self.sign}


def upsample(m: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``(B, T, *grid)`` to ``(B, T, *shape)``, linear, corners not aligned: no value beyond the grid's range."""
    return F.interpolate(m, size=shape, mode=UPSAMPLE[len(shape)], align_corners=False)
