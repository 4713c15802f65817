"""Each part of the pictures taken away alone: U parts cost U forwards, for all maps of the case together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.evaluate.shared.plan import Plan
from pellucid.evaluate.undefined import Undefined

if TYPE_CHECKING:
    from pellucid.evaluate.evidence import Evidence


def alone(evidence: Evidence, plan: Plan) -> tuple[Tensor, Tensor]:
    """Units ``(N,)`` of all pixels, and scores ``(U, columns)`` without each of them: U forwards.

    Raises:
        Undefined: no picture, or a single unit.
    """
    units, count = _units(evidence, plan)

    def make() -> Tensor:
        at = units.to(evidence.engine.device)
        filled = evidence.stand_in(plan.fill or evidence.fill)
        return evidence.scorer.run(count, evidence.scorer.blend(lambda i: at != i.to(at.device)[:, None], filled))

    return units, evidence.once(("alone", plan), make)


def alone_in_noise(evidence: Evidence, plan: Plan, draws: int) -> tuple[Tensor, Tensor]:
    """Units ``(N,)``, and scores ``(U, draws, columns)`` with each unit replaced by uniform noise: U · draws forwards.

    The noise lies between the minimum and the maximum of each channel; a draw is the same for every unit.

    Raises:
        Undefined: no picture, or a single unit.
    """
    units, count = _units(evidence, plan)
    problem, scorer = evidence.problem, evidence.scorer

    def noise(name: str, x: Tensor) -> Tensor:
        copy, dims = torch.arange(draws), tuple(range(2, x.ndim))
        low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
        return low + (high - low) * problem.draw("uniform", name, torch.zeros_like(copy), copy, "alone")

    def make() -> Tensor:
        at = units.to(evidence.engine.device)
        fills = {name: noise(name, x) for name, x in scorer.images.items()}

        def copies(index: Tensor) -> dict[str, Tensor]:
            unit, draw = (torch.div(index, draws, rounding_mode="floor").to(at.device), index % draws)
            mine = {name: f[draw.to(f.device)] for name, f in fills.items()}
            return scorer.blend(lambda _: at != unit[:, None], mine)(torch.arange(len(index)))

        return scorer.run(count * draws, copies).view(count, draws, -1)

    return units, evidence.once(("alone in noise", plan, draws), make)


def without_regions(evidence: Evidence, names: Sequence[str]) -> tuple[list[str], list[Tensor], Tensor]:
    """The case's regions one by one, every label of a label map counting as one: R forwards.

    Args:
        evidence: of the case.
        names: of the case's regions.

    Returns:
        What each is called; where it is in the joined pixels, ``(P,)`` indices; ``(R, columns)`` scores without it. A
        picture on another grid than the regions keeps all its pixels.

    Raises:
        Undefined: no picture on the grid of the regions.
    """
    scorer = evidence.scorer

    def make() -> tuple[list[str], list[Tensor], Tensor]:
        called, places = [], []
        for name in names:
            mask = evidence.case.regions[name].to(torch.int64)
            values = [int(v) for v in mask.unique() if v != 0]
            for value in values:
                called.append(name if len(values) == 1 else f"{name}={value}")
                places.append(_places(evidence, mask == value))
        if not called:
            return [], [], torch.zeros(0, 0)

        def keep(index: Tensor) -> Tensor:
            kept = torch.ones(len(index), scorer.pixels, dtype=torch.bool, device=evidence.engine.device)
            for row, k in enumerate(index.tolist()):
                kept[row, places[k].to(kept.device)] = False
            return kept

        return called, places, scorer.run(len(called), scorer.blend(keep, evidence.stand_in(evidence.fill)))

    return evidence.once(("without regions", *names), make)


def _places(evidence: Evidence, mask: Tensor) -> Tensor:
    inside = mask.flatten().nonzero()[:, 0]
    found, start = [], 0
    for x in evidence.scorer.images.values():
        if tuple(x.shape[2:]) == tuple(mask.shape):
            found.append(start + inside)
        start += x[0, 0].numel()
    if not found:
        raise Undefined(f"no picture is on the regions' grid {tuple(mask.shape)}")
    return torch.cat(found)


def _units(evidence: Evidence, plan: Plan) -> tuple[Tensor, int]:
    if not evidence.scorer.images:
        raise Undefined("the model sees tables only: there are no pixels to take away")
    units = evidence.units(plan)
    count = int(units.max()) + 1
    if count < 2:
        raise Undefined(f"the pictures are one part by {plan.by!r}, so there is nothing to compare")
    return units, count
