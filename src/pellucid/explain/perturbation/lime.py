"""LIME."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from pellucid.core.explainer import Result, require
from pellucid.engine.game import Game
from pellucid.engine.problem import Problem
from pellucid.explain.features import OfFeatures
from pellucid.explain.surrogate import LEAST, Fit, evaluations, fit, relative


@dataclass(frozen=True, kw_only=True)
class Lime(OfFeatures):
    """The coefficients of a linear model that imitates the model while features come and go.

    Every feature is kept with probability 1/2; a coalition ``z`` weighs ``exp(−d² / (2 kernel_width²))``, with ``d``
    its cosine distance from the full one, ``1 − √(share kept)``. Ridge regression of ``f(x_z)`` on ``z``, the intercept
    free; the case itself is a row. A coefficient is spread evenly over its feature's pixels. Notes: ``features``,
    ``evaluations``, ``r2`` (weighted, of the rows fitted), ``r2_held_out`` (each row predicted from the others),
    ``standard_error`` (the median feature's), ``standard_error_max``, ``relative_error``. Flags:
    ``surrogate_does_not_fit`` where ``r2_held_out`` is under one half: the model is not linear here, or the samples
    are too few to tell; ``too_few_samples`` if the least was overridden.

    Budget: 1 + S forwards for S coalitions, 6 per feature by default, whatever the number of targets. Source:
    ribeiro2016why.

    Attributes:
        samples: coalitions, one forward each; 6 per feature by default.
        alpha: of the ridge; 0 for least squares.
        kernel_width: of the weights; the smaller, the more local.
        force: take fewer than 4 per feature.
    """

    name = "lime"
    family = "perturbation"
    source = "ribeiro2016why"
    stochastic = True
    passes = "1 + S F"
    samples: int | None = None
    alpha: float = 1.0
    kernel_width: float = 0.25
    force: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require(self.samples is None or self.samples >= 1, f"samples={self.samples}: give 1 or more")
        require(isfinite(self.alpha) and self.alpha >= 0, f"alpha={self.alpha}: give 0 or more")
        require(
            isfinite(self.kernel_width) and self.kernel_width > 0,
            f"kernel_width={self.kernel_width}: give a positive distance, such as 0.25",
        )

    def attribute(self, problem: Problem) -> Result:
        """Draw, evaluate, fit."""
        game = self.game(problem)
        drawn = [self._coalitions(problem, game, b) for b in range(len(problem))]
        clean = game.full.cpu().double()
        answers = game.value(drawn)
        fits, quality, errors = [], [], []
        for sets, answer, score in zip(drawn, answers, clean):
            got, weight, change = self.surrogate(sets, answer - score)
            everything = len(sets) == 2 ** sets.shape[1] - 1
            fits.append(got.values[1:])
            quality.append(torch.stack([explained(r, change, weight) for r in (got.residual, got.held_out)]))
            errors.append(got.error(torch.full((len(weight),), float(everything), dtype=weight.dtype))[1:])
        r2 = torch.stack(quality, dim=1)
        like = torch.ones(clean.shape, dtype=torch.int64)
        counts = like * torch.tensor([[game.players(b)] for b in range(len(problem))])
        runs = like * torch.tensor([[len(d)] for d in drawn])
        return Result(
            game.spread([v.T for v in fits]),
            notes={
                "features": counts,
                "evaluations": runs,
                "r2": r2[0],
                "r2_held_out": r2[1],
                "standard_error": torch.stack([e.median(0).values for e in errors]),
                "standard_error_max": torch.stack([e.amax(0) for e in errors]),
                "relative_error": torch.stack([relative(e, v) for e, v in zip(errors, fits)]),
            },
            flags={
                "surrogate_does_not_fit": r2[1] < 0.5,
                "too_few_samples": runs < torch.minimum(LEAST * counts, 2 ** counts.clamp(max=40) - 1),
            },
        )

    def surrogate(self, sets: Tensor, change: Tensor) -> tuple[Fit, Tensor, Tensor]:
        """The fit, the weights ``(n+1,)`` and the values ``(n+1, T)`` of coalitions ``(n, M)`` and the case itself.

        ``change`` ``(n, T)`` is ``f(x_z) − f(x)``: only the free intercept knows the difference.
        """
        players = sets.shape[1]
        z = torch.cat([torch.ones(1, players, dtype=torch.float64), sets.double()])
        change = torch.cat([change.new_zeros(1, change.shape[1]), change])
        distance = 1 - z.mean(1).sqrt()
        weight = torch.exp(-(distance**2) / (2 * self.kernel_width**2))
        rows = torch.cat([torch.ones(len(z), 1, dtype=torch.float64), z], 1)
        penalty = torch.full((players + 1,), self.alpha, dtype=torch.float64)
        penalty[0] = 0
        return fit(rows, change, weight, penalty=penalty), weight, change

    def _coalitions(self, problem: Problem, game: Game, b: int) -> Tensor:
        """Bool ``(n, M)``; all but the full one if there are no more than that."""
        players = game.players(b)
        most = 2**players - 1
        count = evaluations(self.name, problem.cases[b].id, players, most, self.samples, force=self.force)
        if count == most:
            return (torch.arange(most)[:, None] >> torch.arange(players)) % 2 == 1
        return torch.rand(count, players, generator=problem.generator(b, self.name)) < 0.5


def explained(residual: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    """Weighted ``R²`` per target ``(T,)``; 1 where there is nothing to explain."""
    w = weight[:, None] / weight.sum()
    spread = (w * (values - (w * values).sum(0)) ** 2).sum(0)
    left = (w * residual**2).sum(0)
    return torch.where(spread > 0, 1 - left / spread.clamp(min=1e-300), torch.ones_like(left))
