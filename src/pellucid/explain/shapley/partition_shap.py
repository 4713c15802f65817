"""Partition SHAP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.core.fill import as_fill
from pellucid.engine.problem import Problem
from pellucid.explain.shapley.guide import Guided
from pellucid.explain.shapley.halving import Block, everything
from pellucid.explain.shapley.owen import OwenGame, Vector


@dataclass(frozen=True, kw_only=True)
class PartitionShap(Explainer):
    """Owen values over a hierarchy of halvings: the inputs, then boxes of each picture and runs of a table's columns.

    A block's share is its effect on the score, averaged over all orders in which its own half, the half above and so
    on come in; it is split into its two halves where the effect is largest, until the budget is spent, and what is
    not split is spread over the block. Every split adds up, so the map does, to ``f(x) − f(fill)``, at any budget; if
    everything is split, these are the exact Owen values. One hierarchy holds all inputs, on one scale.

    What is split next is decided by the largest effect on any output of the model (of a segmentation, on the mean
    logit of each class over its clean prediction), as in SHAP, and not by the targets: they all share the passes, and
    a map does not depend on what else is asked for.

    Budget: 2 forwards and 2 per split, ``evaluations`` in all, whatever the number of targets. Source:
    lundberg2017unified, owen1977values.

    Attributes:
        evaluations: forwards that may be spent.
        fill: what stands in for an absent block (a Fill).
        force: take fewer than 172 evaluations, with which a picture is not split everywhere into parts of a quarter
            of its side.
    """

    name = "partition_shap"
    family = "shapley"
    source = "lundberg2017unified"
    complete = "exact"
    needs = ()
    resolution = "feature"
    passes = "2 + 2*N F"
    evaluations: int = 500
    fill: Any = "blur"
    force: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "fill", as_fill(self.fill))
        least = 2 + 2 * (1 + 4 + 16 + 64)
        require(self.evaluations >= 4, f"evaluations={self.evaluations}: give 4 or more, for one split")
        require(
            self.evaluations >= least or self.force,
            f"evaluations={self.evaluations} split a picture into a few large blocks; give {least} or more, or "
            "force=True",
        )

    def attribute(self, problem: Problem) -> Result:
        """Split, score, split again."""
        targets = len(problem.targets)
        guided = Guided(problem.objective)
        clean = problem.engine.scores(problem.clean, guided)
        problem.learn(clean[:, :targets])
        fill = problem.fill(self.fill)

        def scores(items: list[tuple[int, list[Block]]]) -> Tensor:
            """Of the fill with some blocks as they are in a case."""
            owner = torch.tensor([b for b, _ in items])

            def make(index: Tensor) -> dict[str, Tensor]:
                at = owner[index].to(problem.engine.device)
                made = {k: v[at] for k, v in fill.items()}
                for row, i in enumerate(index.tolist()):
                    b, present = items[i]
                    for name, sides in (box for block in present for box in block.boxes):
                        where: Any = (..., *(slice(*s) for s in sides))
                        made[name][row][where] = problem.inputs[name][b][where]
                return made

            return problem.engine.scores(problem.stream(owner, make), guided)

        empty = scores([(b, []) for b in range(len(problem))])
        root = everything({k: tuple(x.shape[2:] if x.ndim > 2 else x.shape[1:]) for k, x in problem.inputs.items()})
        games = [
            OwenGame(targets, case.spacing, (self.evaluations - 2) // 2).start(root, low, high)
            for case, low, high in zip(problem.cases, _numbers(empty), _numbers(clean))
        ]
        while any(rounds := [game.next() for game in games]):
            items = [(b, present) for b, states in enumerate(rounds) for s in states for present in s.coalitions]
            found = iter(_numbers(scores(items)))
            for game, states in zip(games, rounds):
                for state in states:
                    game.split(state, next(found), next(found))
        maps = {k: x.new_zeros((len(problem), targets, *_shape(x))) for k, x in problem.inputs.items()}
        for b, game in enumerate(games):
            game.spread({k: m[b] for k, m in maps.items()})
        splits = torch.tensor([[game.splits] for game in games]).expand(-1, targets)
        blocks = torch.tensor([[len(game.values)] for game in games]).expand(-1, targets)
        return Result(maps, clean[:, :targets] - empty[:, :targets], {"splits": splits, "blocks": blocks})


def _numbers(scores: Tensor) -> list[Vector]:
    return list(scores.double().cpu().numpy())


def _shape(x: Tensor) -> tuple[int, ...]:
    return tuple(x.shape[2:] if x.ndim > 2 else x.shape[1:])
