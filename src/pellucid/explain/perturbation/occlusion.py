"""Occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.core.fill import as_fill
from pellucid.engine.problem import Problem
from pellucid.explain.perturbation.windows import Window, check_sizes, columns, per_axis, scores_without, windows


@dataclass(frozen=True, kw_only=True)
class Occlusion(Explainer):
    """``f(x) − f(x with a window filled)``, averaged per pixel over the windows that cover it.

    Every image input is slid over by itself, all channels at once; a table's columns are replaced one by one. All
    targets come from the same passes. Windows start at multiples of the stride until the last one reaches the far
    border, where it is clipped.

    Budget: P + 1 forwards for P windows, whatever the number of targets. Source: zeiler2014visualizing.

    Attributes:
        window: side in pixels, one number or one per axis; an eighth of each axis by default.
        stride: likewise; half the window by default.
        fill: what a window is filled with (a Fill, in the image's units).
    """

    name = "occlusion"
    family = "perturbation"
    source = "zeiler2014visualizing"
    needs = ()
    resolution = "feature"
    passes = "P + 1 F"
    window: int | tuple[int, ...] | None = None
    stride: int | tuple[int, ...] | None = None
    fill: Any = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "fill", as_fill(self.fill))
        for name in ("window", "stride"):
            value = getattr(self, name)
            if isinstance(value, list):
                value = tuple(value)
                object.__setattr__(self, name, value)
            sides = value if isinstance(value, tuple) else (value,)
            require(all(v is None or v >= 1 for v in sides), f"{name}={value}: give 1 pixel or more")

    def attribute(self, problem: Problem) -> Result:
        """Slide, score, spread the drop over the window."""
        found = [w for name in problem.inputs for w in self._windows(name, problem.inputs[name])]
        fill = problem.fill(self.fill)
        count = len(problem)
        owner = torch.arange(count).repeat(len(found))  # window by window, all cases in each
        each = [w for w in found for _ in range(count)]
        scores = scores_without(problem, problem.objective, fill, owner, each)
        drops = problem.scores[None] - scores.view(len(found), count, -1)
        maps, cover = self._empty(problem)
        for (name, where), drop in zip(found, drops):
            spot = where[1:] if len(where) > 1 else where
            here = (slice(None), slice(None), *spot)
            maps[name][here] += drop.view(*drop.shape, *[1] * len(spot))
            cover[name][spot] += 1
        return Result({k: m / cover[k] for k, m in maps.items()}, notes={"windows": len(found)})

    def _empty(self, problem: Problem) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        lead = (len(problem), len(problem.targets))
        shapes = {k: v.shape[2:] if v.ndim > 2 else v.shape[1:] for k, v in problem.inputs.items()}
        like = next(iter(problem.inputs.values()))
        return (
            {k: like.new_zeros((*lead, *s)) for k, s in shapes.items()},
            {k: like.new_zeros(s) for k, s in shapes.items()},
        )

    def _windows(self, name: str, x: Tensor) -> list[Window]:
        """All windows of one input: a slice per axis, the channel axis first."""
        if x.ndim == 2:
            return columns(name, x)
        shape = tuple(x.shape[2:])
        sides = per_axis("window", self.window, shape, tuple(max(1, round(s / 8)) for s in shape))
        strides = per_axis("stride", self.stride, shape, tuple(max(1, s // 2) for s in sides))
        check_sizes(name, shape, sides, strides)
        return windows(name, shape, sides, strides)
