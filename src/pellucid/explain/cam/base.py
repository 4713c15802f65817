"""What all class activation maps share: the layer of each input, the sign, the way back to the input's size."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.engine.layers import Layer
from pellucid.engine.problem import Problem
from pellucid.errors import UsageError, nearest

UPSAMPLE = {1: "linear", 2: "bilinear", 3: "trilinear"}
Formula = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Cam(Explainer):
    """A map on the grid of a layer, upsampled linearly to the input. A method says what the map is (``grids``).

    The layer is found by running the model (the last map on the way from *this* input; for a segmentation the last
    one on the coarsest grid), so every image input has its own; ``layer`` names it instead. Tables get no map.

    Attributes:
        layer: a layer's name, or input name to layer name; found automatically by default.
        sign: ``"positive"`` keeps what speaks for the target (the ReLU of most papers), ``"signed"`` all.
    """

    family = "cam"
    needs: ClassVar[tuple[str, ...]] = ("layer",)
    tables = False
    resolution = "layer"
    passes = "1 F, T B"
    layer: str | Mapping[str, str] | None = None
    sign: Literal["positive", "signed"] = "positive"

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.sign in ("positive", "signed"), f"sign={self.sign!r}: choose 'positive' or 'signed'")

    @abstractmethod
    def grids(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Tensor]:
        """The map of each image input on its layer's grid, ``(B, T, *grid)``, signed."""

    def notes(self, problem: Problem, chosen: dict[str, Layer]) -> dict[str, Any]:
        """What is reported with the map: each input's layer."""
        return {"layers": problem.describe_layers(chosen)}

    def attribute(self, problem: Problem) -> Result:
        """Choose the layers, make the maps, bring them to the input's size."""
        require(bool(problem.images), f"{self.name} needs an input with spatial axes; this model has tables only")
        chosen = {n: problem.layer(n, self._name(n, problem)) for n in problem.images}
        maps = {}
        for name, grid in self.grids(problem, chosen).items():
            kept = grid.clamp(min=0) if self.sign == "positive" else grid
            maps[name] = upsample(kept, tuple(problem.inputs[name].shape[2:]))
        return Result(maps, notes=self.notes(problem, chosen))

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
        return {**super().describe(), "layer": layer}


def names(chosen: dict[str, Layer]) -> list[str]:
    """The layers' names, each once."""
    return sorted({x.name for x in chosen.values()})


def from_gradients(problem: Problem, chosen: dict[str, Layer], formula: Formula) -> dict[str, Tensor]:
    """``formula(A, g)`` of each input's layer: ``A`` ``(B, 1, C, n)``, ``g = ∂y/∂A`` ``(B, T, C, n)`` on n places.

    All methods that come here share one forward and T backwards. The formula returns ``(B, T, n)``.
    """
    acts, grads = problem.activations(names(chosen))
    return {
        k: formula(acts[x.name].flatten(2)[:, None], grads[x.name].flatten(3)).unflatten(2, x.grid)
        for k, x in chosen.items()
    }


def upsample(m: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``(B, T, *grid)`` to ``(B, T, *shape)``, linear, corners not aligned: no value beyond the grid's range."""
    return F.interpolate(m, size=shape, mode=UPSAMPLE[len(shape)], align_corners=False)
