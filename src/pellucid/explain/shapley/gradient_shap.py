"""GradientSHAP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.background import weights_of
from pellucid.core.explainer import Explainer, Result, require
from pellucid.core.fill import as_fill
from pellucid.engine.problem import Problem


@dataclass(frozen=True, kw_only=True)
class GradientShap(Explainer):
    """The mean of ``(x − x') ∘ ∂y/∂x`` at random points between noisy copies of ``x`` and baselines ``x'``.

    Baselines are drawn from the background cases, by their weights, or are the fill where there are none. The positions
    are stratified, one in each of ``samples`` equal parts of the path, which leaves less variance than independent
    ones. The map adds up to ``f(x) − E f(x')`` on average; ``notes`` hold the error of this draw.

    Budget: 1 forward, ``samples`` gradients, and one forward per baseline drawn. Source: lundberg2017unified,
    erion2021improving.

    Attributes:
        samples: gradients per case.
        noise: sd of the noise on ``x``, as a share of its range.
        baseline: the fill, where no background is given.
    """

    name = "gradient_shap"
    family = "shapley"
    source = "lundberg2017unified"
    complete = "expected"
    stochastic = True
    passes = "1 + S + D F, S*T B"
    samples: int = 20
    noise: float = 0.0
    baseline: Any = "zero"

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "baseline", as_fill(self.baseline))
        require(self.samples >= 1, f"samples={self.samples}: give 1 or more")
        require(self.noise >= 0, f"noise={self.noise}: give a share of the input's range, 0 for none")

    def attribute(self, problem: Problem) -> Result:
        """The sampled expectation."""
        owner, copy = problem.copies(self.samples)
        device = problem.engine.device
        noisy = problem.noisy(self.noise, "gradient_shap")
        alpha = ((copy.view(len(problem), -1).to(device) + problem.draw_numbers(self.samples, "alpha")) / self.samples)
        alpha = alpha.flatten().to(problem.engine.dtype)
        base, which = self._baselines(problem, owner, copy)

        def ends(index: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            at = which[index].to(device)
            end = (
                noisy(owner[index], copy[index])
                if self.noise
                else {k: v[owner[index].to(device)] for k, v in problem.inputs.items()}
            )
            return {k: v[at] for k, v in base.items()}, end

        def make(index: Tensor) -> dict[str, Tensor]:
            start, end = ends(index)
            a = alpha[index.to(device)]
            return {k: start[k] + a.view(-1, *[1] * (start[k].ndim - 1)) * (end[k] - start[k]) for k in start}

        def times_path(index: Tensor, grads: dict[str, Tensor]) -> dict[str, Tensor]:
            start, end = ends(index)
            return {k: g * (end[k] - start[k])[:, None] for k, g in grads.items()}

        stream = problem.stream(owner, make)
        weights = torch.full((len(owner),), 1 / self.samples, dtype=torch.float64)
        maps = problem.engine.gradients(
            stream, problem.objective, weights=weights, transform=times_path
        ).sums
        expected = problem.scores - self._mean_baseline_score(problem, base, owner, which)
        return Result(maps, expected)

    def _baselines(self, problem: Problem, owner: Tensor, copy: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """All baselines, and which of them each item takes."""
        if not problem.background:
            return problem.fill(self.baseline), owner
        base = problem.usual
        drawn = problem.draw_numbers(self.samples, "background").cpu()
        last, weights = len(problem.background) - 1, weights_of(problem.background)
        if weights is None:
            which = (drawn * (last + 1)).long().clamp(max=last)
        else:
            which = torch.searchsorted(weights.cumsum(0), drawn.double(), right=True).clamp(max=last)
        return base, which[owner, copy]

    def _mean_baseline_score(
        self, problem: Problem, base: dict[str, Tensor], owner: Tensor, which: Tensor
    ) -> Tensor:
        """``E f(x')`` over the baselines that each case drew; every distinct pair is run once."""
        pairs, inverse = torch.unique(torch.stack([owner, which], 1), dim=0, return_inverse=True)
        stream = problem.stream(
            pairs[:, 0], lambda i: {k: v[pairs[i, 1].to(v.device)] for k, v in base.items()}
        )
        scores = problem.engine.scores(stream, problem.objective)[inverse.to(problem.engine.device)]
        return scores.view(len(problem), self.samples, -1).mean(1)
