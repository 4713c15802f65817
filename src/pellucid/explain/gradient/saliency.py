"""Saliency."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result
from pellucid.engine.linear import Linear
from pellucid.engine.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Saliency(Explainer):
    """``|∂y/∂x|``: how much the output would change with each value, whatever the direction.

    For a table per standard deviation of the column, so that its unit does not matter.

    Budget: 1 forward, 1 backward per target. Source: simonyan2014deep.

    Attributes:
        keep_sign: keep the sign of the derivative.
    """

    name = "saliency"
    family = "gradient"
    source = "simonyan2014deep"
    passes = "1 F, T B"
    keep_sign: bool = False

    def attribute(self, problem: Problem) -> Result:
        """The derivative's magnitude."""
        grads = problem.per_sd(problem.gradient.sums)
        return Result({k: g if self.keep_sign else g.abs() for k, g in grads.items()})

    def linear(self, problem: Problem) -> Linear | None:
        """The same of planes."""
        if problem.tables:
            return None

        def finish(_name: str, grad: Tensor, _start: int, _stop: int) -> Tensor:
            return grad if self.keep_sign else grad.abs()

        return Linear(finish=finish)

    def direction(self, problem: Problem) -> dict[str, Tensor] | None:
        """One everywhere, of the signed derivative."""
        return {k: torch.ones_like(v) for k, v in problem.inputs.items()} if self.keep_sign else None
