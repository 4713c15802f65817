"""Hierarchical occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.explainer import Explainer, Result, require
from pellucid.core.target import Objective
from pellucid.engine.problem import Problem
from pellucid.errors import UsageError
from pellucid.explain.perturbation.decision import Decision, FillByClass, as_fill_or_by_class, check_two_classes
from pellucid.explain.perturbation.descent import Descent, Rules
from pellucid.explain.perturbation.pyramid import Given, Pyramid
from pellucid.explain.perturbation.windows import scores_without


@dataclass(frozen=True, kw_only=True)
class HierarchicalOcclusion(Explainer):
    """Occlusion by large windows first, then by smaller ones inside those that mattered: an approximation.

    A window's effect is ``f(x) − f(x with it filled)``. The first level runs whole; of each level, the windows with
    at least ``threshold`` of the largest effect are subdivided into those of the next level whose corner lies inside
    them. Effects that cancel inside a coarse window can be missed. Every picture has a pyramid of its own; a table's
    columns are replaced one by one, beside the first level. Each target has its own search, and its map is that which
    it would get alone; a window that several ask for is run once.

    Where the budget does not reach, what is left is shared evenly between the levels to come; within a level, windows
    that lie side by side come first, then those half a step between them, and so on, each time where most was found.

    Notes: ``evaluations``, windows that were filled; ``dense_evaluations``, what dense occlusion at the finest level
    would have filled; ``left_out``, windows inside subdivided ones that the budget left out. Flag: ``no_effect`` where
    no window of the first level has any effect; the map is zero.

    Budget: 1 + P + Q forwards, P windows at the first level, Q refined ones, of all targets together. Source:
    rizzo2025assessing, a study of distal myopathies in MRI, whose map is that of ``score="flip", combine="sum",
    budget=None``; the window that is slid is zeiler2014visualizing's.

    Attributes:
        levels: pairs of a window and its stride, each one number or one per axis; by default from half of each axis
            on, strides of a quarter of the window, both halved while the window is not under ``min_window``.
        min_window: the least side of a window in pixels.
        score: ``"drop"``, how far the score falls, or ``"flip"``, 1 if the decision between two classes changes.
        sign: ``"both"`` refines by the size of the change and gives a signed map; ``"for"`` refines only where the
            score falls, and what raises it counts as nothing.
        threshold: share of the largest effect so far from which on a window is subdivided.
        top_k: how many windows of a level are subdivided at most.
        budget: share of the evaluations of dense occlusion that may be spent beyond the first level's; None, no limit.
        combine: ``"density"``, the mean over the levels of the mean effect of the windows over a pixel, each times the
            finest window's size over its own; ``"sum"``, the largest effect of the windows over a pixel, summed over
            the levels; ``"mean"``, the same averaged over the levels that reached the pixel.
        region: of the case; only windows that touch it are filled.
        fill: what a window is filled with (a Fill, in the image's units), or a mapping of classes to fills, of which
            the predicted class of the case picks one.
    """

    name = "hierarchical_occlusion"
    family = "perturbation"
    source = "rizzo2025assessing"
    needs = ()
    resolution = "feature"
    passes = "1 + P + Q F"
    shared = False
    levels: Given | None = None
    min_window: int = 7
    score: Literal["drop", "flip"] = "drop"
    sign: Literal["both", "for"] = "both"
    threshold: float = 0.1
    top_k: int | None = None
    budget: float | None = 0.05
    combine: Literal["density", "sum", "mean"] = "density"
    region: str | None = None
    fill: Any = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "fill", as_fill_or_by_class(self.fill))
        if self.levels is not None:
            object.__setattr__(self, "levels", _pairs(self.levels))
        require(self.min_window >= 1, f"min_window={self.min_window}: give 1 pixel or more")
        require(0 <= self.threshold <= 1, f"threshold={self.threshold}: give a share of the largest drop, 0 to 1")
        require(self.top_k is None or self.top_k >= 1, f"top_k={self.top_k}: give 1 window or more, or None")
        require(
            self.budget is None or self.budget > 0,
            f"budget={self.budget}: give a positive share of the evaluations of dense occlusion, or None",
        )
        for option, words in (
            ("score", ("drop", "flip")), ("sign", ("both", "for")), ("combine", ("density", "sum", "mean")),
        ):  # fmt: skip
            value = getattr(self, option)
            require(value in words, f"{option}={value!r}: choose {' or '.join(map(repr, words))}")

    def describe(self) -> dict[str, Any]:
        """The options as plain values, for provenance."""
        levels = None if self.levels is None else [[_plain(v) for v in pair] for pair in self.levels]
        return super().describe() | {"fill": self.fill.describe(), "levels": levels}

    def attribute(self, problem: Problem) -> Result:
        """Ask, score, refine, until no search asks for more."""
        pyramid = Pyramid.over(problem.inputs, self.levels, self.min_window)
        objective, clean, fill, notes = self._start(problem)
        allowed = [self._allowed(case, pyramid) for case in problem.cases]
        dense = [sum(int(own[one.name][-1].sum()) for one in pyramid.finest) for own in allowed]
        rows = [[self._descent(pyramid, own, count) for _ in problem.targets] for own, count in zip(allowed, dense)]
        rounding = 8 * torch.finfo(clean.dtype).eps * problem.scores.abs()  # a smaller change is none
        while True:
            wanted = [[path.ask() for path in row] for row in rows]
            asked = [torch.cat(row).unique() for row in wanted]
            counts = torch.tensor([len(a) for a in asked])
            if not int(counts.sum()):
                break
            owner = torch.arange(len(rows)).repeat_interleave(counts)
            windows = [pyramid.window(i) for index in asked for i in index.tolist()]
            scores = scores_without(problem, objective, fill, owner, windows)
            at = owner.to(scores.device)
            drops = clean[at] - (scores[:, -1:] if self.score == "flip" else scores)
            drops = torch.where(drops.abs() > rounding[at], drops, 0.0).cpu().double()
            for row, mine, index, own in zip(rows, wanted, asked, drops.split(counts.tolist())):
                for t, (path, which) in enumerate(zip(row, mine)):
                    if len(which):
                        path.learn(own[torch.searchsorted(index, which), t])
        asked_for, left, largest = (
            torch.tensor([[getattr(path, what) for path in row] for row in rows])
            for what in ("asked", "left_out", "largest")
        )
        notes |= {
            "evaluations": asked_for,
            "dense_evaluations": torch.tensor(dense)[:, None].expand(asked_for.shape),
            "left_out": left,
        }
        maps = [[path.maps() for path in row] for row in rows]
        like = next(iter(problem.inputs.values()))
        return Result(
            {k: torch.stack([torch.stack([m[k] for m in row]) for row in maps]).to(like) for k in problem.inputs},
            notes=notes,
            flags={"no_effect": largest == 0},
        )

    def _start(self, problem: Problem) -> tuple[Objective, Tensor, dict[str, Tensor], dict[str, Any]]:
        """What is asked for, what the clean cases give, what a window is filled with, and a note."""
        predictor, by_class = problem.predictor, isinstance(self.fill, FillByClass)
        if self.score == "flip":
            check_two_classes(predictor)
        if not by_class and self.score == "drop":
            return problem.objective, problem.scores, problem.fill(self.fill), {}
        if by_class and predictor.task != "classification":
            raise UsageError(f"fill: one for each class is for a classification; this model does {predictor.task}")
        decision = Decision(problem.objective)
        scores = problem.engine.scores(problem.clean, decision)
        problem.learn(scores[:, :-1])
        fill = self.fill.of(problem, decision.decided) if by_class else problem.fill(self.fill)
        notes = {"predicted_class": decision.decided[:, None].expand(scores[:, :-1].shape)} if by_class else {}
        if self.score == "drop":
            return problem.objective, problem.scores, fill, notes
        return decision, torch.ones_like(problem.scores), fill, notes

    def _allowed(self, case: Case, pyramid: Pyramid) -> dict[str, list[Tensor]]:
        """Of each input and level, the windows that touch the region; all columns of a table."""
        found = {}
        for name, tower in pyramid.towers.items():
            mask = torch.ones(tower[0].shape, dtype=torch.bool)
            if self.region is not None and tower[0].image:
                mask = case.region(self.region)
                if tuple(mask.shape) != tower[0].shape:
                    raise UsageError(
                        f"case {case.id}: region {self.region!r} is {tuple(mask.shape)}, input {name!r} is "
                        f"{tower[0].shape}; resample the input to the region's grid, or leave the region out"
                    )
            found[name] = [one.touching(mask) for one in tower]
        return found

    def _descent(self, pyramid: Pyramid, allowed: dict[str, list[Tensor]], dense: int) -> Descent:
        levels = [
            torch.cat([allowed[one.name][i] for one in layers]) for i, layers in enumerate(pyramid.levels)
        ]
        rules = Rules(
            threshold=self.threshold, top_k=self.top_k, both=self.sign == "both", combine=self.combine
        )
        return Descent(pyramid, rules, levels, None if self.budget is None else int(self.budget * dense))


def _pairs(levels: Any) -> Given:
    try:
        pairs = tuple(tuple(tuple(v) if isinstance(v, list) else v for v in pair) for pair in levels)
        good = all(len(p) == 2 and all(isinstance(v, int | tuple) for v in p) for p in pairs)
    except TypeError:
        good, pairs = False, ()
    require(good and bool(pairs), f"levels={levels!r}: give pairs of a window and a stride, as [(56, 14), (28, 7)]")
    return pairs  # type: ignore[return-value]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
