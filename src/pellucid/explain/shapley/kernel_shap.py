"""KernelSHAP."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.explainer import Result, require
from pellucid.engine.game import Game
from pellucid.engine.problem import Problem
from pellucid.explain.features import OfFeatures
from pellucid.explain.shapley.coalitions import Pairs, leverage_pairs
from pellucid.explain.surrogate import LEAST, evaluations, fit, relative


@dataclass(frozen=True, kw_only=True)
class KernelShap(OfFeatures):
    """Shapley values of the features of all inputs in one game, by weighted regression on coalitions.

    ``φ`` minimises ``Σ_S w(|S|) (v(S) − v(∅) − Σ_{i∈S} φ_i)²`` with ``w(s) = (M−1) / (C(M,s) s (M−s))``, under
    ``Σ φ = f(x) − f(x')``, which is solved for exactly. ``v(S)`` is the model's answer with the features outside of S
    replaced by the fill; with ``fill="background"`` the (weighted) mean of its answers with them replaced by those of
    each background case (interventional Shapley values). Coalitions come in complementary pairs, without replacement,
    by leverage scores; where the budget reaches all ``2^M`` the values are exact. A feature's value is spread evenly
    over its pixels, so that the map adds up. Notes: ``features``, ``evaluations`` (coalitions), ``baselines``,
    ``standard_error`` (the median feature's) and ``standard_error_max``, ``relative_error`` (the share of the map's
    size that is chance). Flags: ``uncertain`` if that is over one half, ``too_few_samples`` if the least was
    overridden.

    Budget: 2 + S forwards for S coalitions, 6 per feature by default, whatever the number of targets; with a fill of R
    background cases 1 + R + S · R. Source:
    lundberg2017unified; the sampling: musco2025provably.

    Attributes:
        samples: coalitions, one forward each; 6 per feature by default.
        force: take fewer than 4 per feature.
    """

    name = "kernel_shap"
    family = "shapley"
    source = "lundberg2017unified"
    complete = "exact"
    stochastic = True
    passes = "2 + S F"
    samples: int | None = None
    force: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        require(self.samples is None or self.samples >= 2, f"samples={self.samples}: give 2 or more")

    def attribute(self, problem: Problem) -> Result:
        """Draw, evaluate, solve."""
        game = self.game(problem)
        pairs = [self._pairs(problem, game, b) for b in range(len(problem))]
        whole, nothing = game.full.cpu().double(), game.empty.cpu().double()
        answers = game.value([torch.cat([p.sets, ~p.sets]) for p in pairs])
        solved = [shapley_fit(p, a, w - n) for p, a, w, n in zip(pairs, answers, whole, nothing)]
        values, errors = [v for v, _ in solved], [e for _, e in solved]
        share = torch.stack([relative(e, v) for v, e in solved])
        like = torch.ones(whole.shape, dtype=torch.int64)
        counts = like * torch.tensor([[game.players(b)] for b in range(len(problem))])
        runs = like * torch.tensor([[2 * len(p.sets)] for p in pairs])
        few = (runs < LEAST * counts) & torch.tensor([[bool((p.seen < 1).any())] for p in pairs])
        return Result(
            game.spread([v.T for v in values]),
            expected=whole - nothing,
            notes={
                "features": counts,
                "evaluations": runs,
                "baselines": game.stand_ins,
                "standard_error": torch.stack([e.median(0).values for e in errors]),
                "standard_error_max": torch.stack([e.amax(0) for e in errors]),
                "relative_error": share,
            },
            flags={"uncertain": share > 0.5, "too_few_samples": few},
        )

    def _pairs(self, problem: Problem, game: Game, b: int) -> Pairs:
        players = game.players(b)
        count = evaluations(
            self.name, problem.cases[b].id, players, 2**players - 2, self.samples, force=self.force
        )
        return leverage_pairs(players, count // 2, problem.generator(b, self.name))


def shapley_fit(pairs: Pairs, answers: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """Shapley values and their standard errors, ``(M, T)`` each.

    With ``φ = Δ/M + β`` the constraint is ``Σβ = 0``; a row of zero sum, ``z − |S|/M``, sees nothing else of ``β``. A
    pair has opposite rows, so it counts once, with half the difference of its answers.

    Args:
        pairs: P pairs of M players.
        answers: ``(2P, T)``, of the sets and then of their complements.
        change: ``Δ = f(x) − f(x')``, ``(T,)``.
    """
    players = pairs.sets.shape[1]
    share = pairs.sets.double().mean(1, keepdim=True)
    rows = pairs.sets.double() - share
    here, there = answers.chunk(2) if len(answers) else (answers, answers)
    solved = fit(rows, (here - there) / 2 - (share - 0.5) * change, pairs.weight)
    return change / players + solved.values, solved.error(pairs.seen)
