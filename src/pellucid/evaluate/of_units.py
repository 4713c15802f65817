"""What metrics share that compare a map with the model in parts of the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.metric import Metric
from pellucid.core.region import SEGMENTS, check_split
from pellucid.errors import UsageError
from pellucid.evaluate.maths import pearson
from pellucid.evaluate.shared.curves import FLOOR, TINY
from pellucid.evaluate.shared.plan import Plan
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View

SAME = 1e-12  # of a map's sums: smaller differences are the rounding of a sum


@dataclass(frozen=True, kw_only=True)
class OfUnits(Metric):
    """A metric with a choice of units.

    Attributes:
        by: the units: ``"pixels"``, ``"blocks"``, ``"cubes"``, ``"superpixels"``, or a region of the case, whose
            labels are the units.
        side: of a block, in pixels; an eighth of the longest axis if None.
        segments: about how many cubes or superpixels.
    """

    by: str = "cubes"
    side: int | None = None
    segments: int = SEGMENTS

    def __post_init__(self) -> None:
        """Check the options."""
        check_split(side=self.side, segments=self.segments, compactness=1.0)

    @property
    def plan(self) -> Plan:
        """The units."""
        return Plan(by=self.by, side=self.side, segments=self.segments)


def check_draws(draws: int, least: int) -> None:
    """Raise UsageError for too few draws."""
    if draws < least:
        raise UsageError(f"draws={draws}: give {least} or more")


def values(view: View) -> Tensor:
    """``(N,)`` the map at all pixels of all images, channels summed; 0 in an image without a map."""
    return view.evidence.scorer.join(view.heat, view.attribution.method)[0]


def agreement(mine: Tensor, drops: Tensor, size: float) -> float:
    """Pearson's r of what a map says of some parts with how far the model's answer falls without them.

    Args:
        mine: ``(K,)``.
        drops: ``(K,)``, up to a constant.
        size: of the model's answer.

    Raises:
        Undefined: all of ``mine`` are equal, or all of ``drops``.
    """
    moves(drops, size)
    if float(mine.max() - mine.min()) <= SAME * float(mine.abs().max()):
        raise Undefined("the map says the same of every part that is taken away, so it has no correlation")
    return pearson(mine, drops)


def moves(drops: Tensor, size: float) -> None:
    """Raise Undefined where the model's answer is the same, but for rounding, whatever is taken away."""
    if float(drops.max() - drops.min()) <= rounding(size):
        raise Undefined("the model's answer is the same whichever part is taken away, so there is nothing to explain")


def rounding(size: float) -> float:
    """Differences up to this are rounding, for a model's answer of a size."""
    return TINY * max(FLOOR, abs(size))


def largest(scores: Tensor) -> float:
    """The largest magnitude."""
    return float(torch.as_tensor(scores).abs().max())
