"""Deletion and insertion curves: what the model says as the picture is taken away, and as it comes back.

Pixels of all image inputs are ranked once per map, jointly; all channels of a pixel go together and tables stay as
they are. Pixels of an image for which the method made no map come last. Ties are broken by one seeded permutation
for all maps, so that a flat map is at chance instead of in raster order.

A signed map is ranked by value, supporting pixels first. Where a score or a region's logit is *lower* than with the
picture filled, what moved it is the negative part, so there the signed map is ranked the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.target import Bound, ClassScore, Target
from pellucid.engine.problem import Problem
from pellucid.evaluate.maths import heat
from pellucid.evaluate.undefined import Undefined

Scale = Literal["auto", "probability", "normalised"]
SCALES = ("auto", "probability", "normalised")
TINY, FLOOR = 1e-5, 1e-2  # differences under TINY of a score (of FLOOR, if it is smaller) are rounding


@dataclass(frozen=True, eq=False)
class Curves:
    """One map's curves.

    Attributes:
        fraction: ``(T + 1,)`` share of the pixels removed (deletion) or brought back (insertion), from 0 to 1.
        deletion, insertion: ``(T + 1,)`` the explained scalar, in its own unit.
        probability: ``(2, T + 1)`` of the explained class, deletion then insertion; None unless a classification.
    """

    fraction: Tensor
    deletion: Tensor
    insertion: Tensor
    probability: Tensor | None = None

    def on(self, scale: Scale = "auto") -> tuple[Tensor, Tensor]:
        """Deletion and insertion on a scale that can be compared across cases.

        ``"probability"``: of the explained class, in [0, 1], as in the original (petsiuk2018rise); it needs no
        division, so it exists for every case. ``"normalised"``: ``(s − f(fill)) / (f(x) − f(fill))``, 1 for the
        picture and 0 for the fill; a regression's score and a sum of logits have units of their own, and without
        it one large organ or one old patient would outweigh the rest. It is cut off at 0 and 1: a half-empty picture
        on which the model says more than on the picture itself, as speckled ones often do, is no better evidence.
        ``"auto"``: the probability for a
        classification, normalised otherwise.

        Raises:
            Undefined: a probability of something that has none; a picture that says no more than its fill.
        """
        if scale == "probability" or (scale == "auto" and self.probability is not None):
            if self.probability is None:
                raise Undefined("only a classification has the probability of a class; use on='normalised'")
            return self.probability[0], self.probability[1]
        whole, empty = float(self.deletion[0]), float(self.insertion[0])
        gap = whole - empty
        if abs(gap) <= TINY * max(FLOOR, abs(whole), abs(empty)):
            raise Undefined(
                f"the explained score is the same with the picture filled ({empty:.4g}): nothing to delete"
            )
        if gap < 0 and self.probability is not None:
            raise Undefined(f"the fill speaks more for the class than the picture does ({empty:.4g} > {whole:.4g})")
        return ((self.deletion - empty) / gap).clamp(0, 1), ((self.insertion - empty) / gap).clamp(0, 1)


def area(fraction: Tensor, values: Tensor) -> float:
    """Area under a curve by the trapezoid rule."""
    return float(torch.trapezoid(values, fraction))


def curves(
    problem: Problem, maps: Sequence[Attribution], columns: Sequence[int], filled: dict[str, Tensor], steps: int,
    seed: int,
) -> list[Curves | Undefined]:  # fmt: skip
    """The curves of all maps of one case, in shared batches: ``m · 2(steps − 1) + 2`` forwards for m maps.

    Args:
        problem: one case with its distinct targets, bound.
        maps: of the case.
        columns: of each map, the place of its target in the problem.
        filled: stand-in of every input, ``(1, …)``.
        steps: T; the curves have T + 1 points.
        seed: of the order of tied pixels.

    Returns:
        Of each map its curves, or why it has none.
    """
    images = {k: v for k, v in problem.inputs.items() if v.ndim > 2}
    usable: list[int] = []
    found: dict[int, Curves | Undefined] = {}
    for i, a in enumerate(maps):
        try:
            _values(a, images)
            usable.append(i)
        except Undefined as reason:
            found[i] = reason
    if not usable:
        return [found[i] for i in range(len(maps))]
    objective = _Both(problem)
    total = sum(v[0, 0].numel() for v in images.values())
    counts = (torch.arange(steps + 1).double() * total / steps).round().long()
    none, everything = torch.zeros(2, dtype=torch.long), torch.tensor([False, True])
    ends = objective.run(images, filled, torch.zeros((1, total), dtype=torch.int32), none, none, everything)
    permutation = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    rows = []
    for i in usable:
        values, known = _values(maps[i], images)
        whole, empty = ends[:, columns[i]].tolist()
        if maps[i].signed and whole < empty and problem.predictor.task != "classification":
            values = -values
        values = torch.where(known, values, torch.full_like(values, -torch.inf))[permutation]
        rank = torch.empty(total, dtype=torch.int32)
        rank[permutation[values.argsort(descending=True, stable=True)]] = torch.arange(total, dtype=torch.int32)
        rows.append(rank)
    inner = torch.arange(1, steps)
    which = torch.arange(len(usable)).repeat_interleave(2 * len(inner))
    insert = torch.tensor([False, True]).repeat_interleave(len(inner)).repeat(len(usable))
    count = counts[inner].repeat(2 * len(usable))
    scores = objective.run(images, filled, torch.stack(rows), which, count, insert)
    scores = scores.view(len(usable), 2, len(inner), -1)
    for place, i in enumerate(usable):
        whole_row, empty_row = ends[:1], ends[1:]
        deletion = torch.cat([whole_row, scores[place, 0], empty_row])
        insertion = torch.cat([empty_row, scores[place, 1], whole_row])
        found[i] = objective.split(counts / total, deletion, insertion, columns[i])
    return [found[i] for i in range(len(maps))]


class _Both:
    """Scores of the targets as they are and, for a classification, of their probabilities, in the same passes."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.count = problem, len(problem.targets)
        targets: list[Target] = list(problem.targets)
        bound: list[Bound] = list(problem.objective.bound[0] or [])
        self.classify = problem.predictor.task == "classification"
        if self.classify:
            targets += [ClassScore(b.index, on="probability") for b in bound]
            bound += bound
        self.both = Problem(problem.engine, problem.cases, targets, seed=problem.seed, frozen=[bound])

    def run(
        self, images: dict[str, Tensor], filled: dict[str, Tensor], ranks: Tensor, which: Tensor, count: Tensor,
        insert: Tensor,
    ) -> Tensor:  # fmt: skip
        """Scores ``(n, columns)`` of copies in which the first ``count`` pixels of a ranking are gone, or are alone."""
        device = self.problem.engine.device
        ranks = ranks.to(device)

        def make(index: Tensor) -> dict[str, Tensor]:
            top = ranks[which[index].to(device)] < count[index].to(device)[:, None]
            keep = top == insert[index].to(device)[:, None]
            out, start = {}, 0
            for name, x in self.problem.inputs.items():
                if name not in images:
                    out[name] = x.expand(len(index), *x.shape[1:]).clone()
                    continue
                size = x[0, 0].numel()
                mask = keep[:, start : start + size].view(len(index), 1, *x.shape[2:])
                out[name] = torch.where(mask, x, filled[name])
                start += size
            return out

        owner = torch.zeros(len(which), dtype=torch.long)
        return self.problem.engine.scores(self.both.stream(owner, make), self.both.objective).double().cpu()

    def split(self, fraction: Tensor, deletion: Tensor, insertion: Tensor, column: int) -> Curves:
        """One target's curves."""
        probability = None
        if self.classify:
            probability = torch.stack([deletion[:, self.count + column], insertion[:, self.count + column]])
        return Curves(fraction.double(), deletion[:, column], insertion[:, column], probability)


def _values(a: Attribution, images: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """``(N,)`` values of all pixels of all images, and whether the method gave one."""
    if not images:
        raise Undefined("the model sees tables only: there are no pixels to delete")
    maps = heat(a)
    if not maps:
        raise Undefined(f"{a.method} made no map of an image")
    values, known = [], []
    for name, x in images.items():
        shape = tuple(x.shape[2:])
        if name in maps and tuple(maps[name].shape) != shape:
            raise Undefined(f"the map of {name!r} is {tuple(maps[name].shape)}, the image is {shape}")
        m = maps.get(name, torch.zeros(shape, dtype=torch.double))
        values.append(m.flatten())
        known.append(torch.full((m.numel(),), name in maps))
    return torch.cat(values), torch.cat(known)
