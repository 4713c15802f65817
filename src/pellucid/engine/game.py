"""The game over a case's features: which are present, and what the model then says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.fill import EACH, Fill
from pellucid.core.region import COMPACTNESS, SEGMENTS, Groups, partition
from pellucid.engine.predicted import with_predicted
from pellucid.engine.problem import Problem, mean_over
from pellucid.errors import UsageError


@dataclass(frozen=True, eq=False)
class Game:
    """Players are the features of all inputs of a case, pictures and tables together, so that all are on one scale.

    A player that is absent is replaced by the fill: a picture's in its own units, a table's column by its training
    mean. With the fill ``"background"`` it is replaced by that of each background case in turn, and a coalition is
    worth the (weighted) mean of what the model says. Each case has players of its own, and their number may differ
    (superpixels).

    Attributes:
        problem: the cases and targets.
        groups: the features of each case.
        absent: the stand-ins of every input, ``(N, …)``.
        fill: what they were made by.
        which: ``(B, R)``, the stand-ins of each case.
        share: ``(R,)``, of each of them in a coalition's value, adding up to one.
    """

    problem: Problem
    groups: Sequence[Groups]
    absent: dict[str, Tensor]
    fill: Fill
    which: Tensor
    share: Tensor

    @staticmethod
    def of(
        problem: Problem, *, fill: Fill, by: str = "superpixels", side: int | None = None, segments: int = SEGMENTS,
        compactness: float = COMPACTNESS,
    ) -> Game:  # fmt: skip
        """The game of a problem; the options are those of :func:`pellucid.core.region.partition`, ``by`` also one of
        :func:`pellucid.engine.predicted.with_predicted`.

        Cases are split once for all methods that split alike.
        """
        options: dict[str, Any] = {"by": by, "side": side, "segments": segments, "compactness": compactness}
        cases = with_predicted(problem, by, segments)
        groups = problem.once(
            ("features", *options.values()),
            lambda: [partition(c, problem.predictor.inputs, **options) for c in cases],
        )
        if fill.kind != EACH:
            single = torch.arange(len(problem))[:, None]
            return Game(problem, groups, problem.fill(fill), fill, single, torch.ones(1, dtype=torch.float64))
        if not problem.background:
            raise UsageError(
                "fill 'background' wants background cases, and there are none; give background=[…] (in a recipe: "
                "background under explain), or another fill"
            )
        share = problem.usual_share
        return Game(problem, groups, problem.usual, fill, torch.arange(len(share)).expand(len(problem), -1), share)

    @property
    def stand_ins(self) -> int:
        """R: how many stand-ins each coalition is run with."""
        return len(self.share)

    def players(self, b: int) -> int:
        """How many players case ``b`` has."""
        return len(self.groups[b])

    @property
    def full(self) -> Tensor:
        """``f(x)``, ``(B, T)``: everybody is present. One forward per case, shared with all methods."""
        return self.problem.scores

    @property
    def empty(self) -> Tensor:
        """``f(x')``, ``(B, T)``: nobody is present. One forward per stand-in, shared by games with the same fill."""
        key = ("absent", *self.fill.describe().items())
        return self.problem.once(key, self._nobody)

    def _nobody(self) -> Tensor:
        rows, owner = self.which.reshape(-1), torch.arange(len(self.which)).repeat_interleave(self.stand_ins)
        stream = self.problem.stream(owner, lambda i: {k: v[rows[i].to(v.device)] for k, v in self.absent.items()})
        scores = self.problem.engine.scores(stream, self.problem.objective)
        return mean_over(scores.view(*self.which.shape, -1), self.share)

    def value(self, coalitions: Sequence[Tensor]) -> list[Tensor]:
        """The explained scalars of coalitions: one forward for each and each stand-in, all targets from it.

        Args:
            coalitions: of each case, bool ``(n_b, M_b)``: who is present. ``n_b`` may differ and may be 0.

        Returns:
            For each case ``(n_b, T)``, on the CPU, in float64.
        """
        counts, r = [len(c) for c in coalitions], self.stand_ins
        if not sum(counts):
            return [torch.zeros(0, len(self.problem.targets), dtype=torch.float64) for _ in coalitions]
        device, inputs = self.problem.engine.device, self.problem.inputs
        owner = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).repeat_interleave(r)
        place = torch.cat([torch.arange(n) for n in counts]).repeat_interleave(r)
        nth = torch.arange(r).repeat(sum(counts))
        labels = [{k: v.flatten().to(device) for k, v in g.labels.items()} for g in self.groups]

        def make(index: Tensor) -> dict[str, Tensor]:
            parts: dict[str, list[Tensor]] = {k: [] for k in inputs}
            whose, at = torch.unique_consecutive(owner[index], return_counts=True)
            pieces = zip(whose.tolist(), torch.split(place[index], at.tolist()), torch.split(nth[index], at.tolist()))
            for b, rows, kinds in pieces:
                present = coalitions[b][rows].to(device)
                other = self.which[b, kinds if r > 1 else kinds[:1]].to(device)
                for name, x in inputs.items():
                    shape = x.shape[2:] if x.ndim > 2 else x.shape[1:]
                    keep = present[:, labels[b][name]].view(-1, *shape)
                    if x.ndim > 2:
                        keep = keep[:, None]
                    parts[name].append(torch.where(keep, x[b], self.absent[name][other]))
            return {k: torch.cat(v) for k, v in parts.items()}

        scores = self.problem.engine.scores(self.problem.stream(owner, make), self.problem.objective)
        found = scores.cpu().double().view(sum(counts), r, -1)
        return list(torch.split(mean_over(found, self.share), counts))

    def spread(self, values: Sequence[Tensor]) -> Painted:
        """Values ``(T, M_b)`` of each case's players, shared out evenly between their pixels: maps ``(B, T, *shape)``.

        The map then adds up, over a region, an organ or a whole input, to what its players are worth; a column holds
        its value.
        """
        return Painted(self, values, share=True)

    def paint(self, values: Sequence[Tensor]) -> Painted:
        """The same with a player's whole value on each of its pixels."""
        return Painted(self, values, share=False)


class Painted(Mapping[str, Tensor]):
    """Maps ``(B, T, *shape)`` that are constant on each player: held as values, painted when they are asked for."""

    def __init__(self, game: Game, values: Sequence[Tensor], *, share: bool) -> None:
        self.game, self.values_of, self.share = game, list(values), share

    def __getitem__(self, name: str) -> Tensor:
        """The maps of an input."""
        if name not in self.game.problem.inputs:
            raise KeyError(name)
        rows = [self._row(name, b, value) for b, value in enumerate(self.values_of)]
        return torch.stack(rows).to(self.game.problem.engine.device)

    def __iter__(self) -> Iterator[str]:
        """Names of the inputs."""
        return iter(self.game.problem.inputs)

    def __len__(self) -> int:
        return len(self.game.problem.inputs)

    def of(self, b: int, t: int) -> dict[str, Tensor]:
        """The maps of one case and target alone."""
        return {name: self._row(name, b, self.values_of[b][t : t + 1])[0] for name in self}

    def _row(self, name: str, b: int, value: Tensor) -> Tensor:
        groups = self.game.groups[b]
        ids = groups.labels[name].to(value.device)
        size = torch.bincount(ids.flatten(), minlength=len(groups)).clamp(min=1) if self.share else 1
        return (value / size)[:, ids]
