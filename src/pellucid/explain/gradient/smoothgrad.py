"""SmoothGrad."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.engine.problem import Problem


@dataclass(frozen=True, kw_only=True)
class SmoothGrad(Explainer):
    """The mean gradient over copies with ``N(0, (noise · (max − min))²)`` added.

    For a table per standard deviation of the column, so that its unit does not matter.

    Budget: 1 forward, ``samples`` gradients. Source: smilkov2017smoothgrad.

    Attributes:
        samples: noisy copies.
        noise: sd as a share of the input's range.
    """

    name = "smoothgrad"
    family = "gradient"
    source = "smilkov2017smoothgrad"
    stochastic = True
    passes = "1 + S F, S*T B"
    samples: int = 20
    noise: float = 0.1

    def __post_init__(self) -> None:
        """Check the options."""
        require(self.samples >= 1, f"samples={self.samples}: give 1 or more")
        require(self.noise > 0, f"noise={self.noise}: give a positive share of the input's range")

    def attribute(self, problem: Problem) -> Result:
        """The mean over the copies."""
        owner, copy = problem.copies(self.samples)
        noisy = problem.noisy(self.noise, "smoothgrad")

        def make(index: Tensor) -> dict[str, Tensor]:
            return noisy(owner[index], copy[index])

        stream = problem.stream(owner, make)
        weights = torch.full((len(owner),), 1 / self.samples, dtype=torch.float64)
        mean = problem.engine.gradients(stream, problem.objective, weights=weights).sums
        return Result(problem.per_sd(mean))
