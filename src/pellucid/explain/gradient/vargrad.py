"""VarGrad."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pellucid.core.explainer import Explainer, Result, require
from pellucid.engine.problem import Problem
from pellucid.explain.gradient.smoothgrad import noisy_gradients

ROUNDING = 8 * torch.finfo(torch.float64).eps


@dataclass(frozen=True, kw_only=True)
class VarGrad(Explainer):
    """The variance of the gradient over copies with ``N(0, (noise · (max − min))²)`` added.

    It shows where the gradient changes, not where it is large: zero for a linear model, whatever its weights. The
    variance over the copies themselves (divided by their number); for a table per standard deviation of the column,
    squared. SmoothGrad with the same samples and noise shares the gradients.

    Budget: 1 forward, ``samples`` gradients. Source: adebayo2018local.

    Attributes:
        samples: noisy copies.
        noise: sd as a share of the input's range.
    """

    name = "vargrad"
    family = "gradient"
    source = "adebayo2018local"
    signed = False
    stochastic = True
    passes = "1 + S F, S*T B"
    samples: int = 20
    noise: float = 0.1

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.samples >= 2, f"samples={self.samples}: a variance needs 2 or more")
        require(self.noise > 0, f"noise={self.noise}: give a positive share of the input's range")

    def attribute(self, problem: Problem) -> Result:
        """The mean square less the squared mean: both sums are in float64, so that their difference holds."""
        found = noisy_gradients(problem, self.samples, self.noise)
        maps = {}
        for name, square in found.squares.items():
            spread = square - found.sums[name] ** 2
            maps[name] = spread.where(spread > ROUNDING * square, torch.zeros_like(spread))
        return Result(problem.per_sd(problem.per_sd(maps)))
