"""How a picture is taken away: in which units, filled with what, in how many steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.fill import Fill
from pellucid.core.region import SEGMENTS, partition
from pellucid.errors import UsageError

PIXELS = "pixels"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Two metrics with the same plan read the same passes.

    Attributes:
        by: ``"pixels"``, or parts of the pictures that come and go together: ``"blocks"``, ``"cubes"``,
            ``"superpixels"``, ``"supervoxels"`` or a region of the case (its labels are the parts).
        side: of a block, in pixels.
        segments: about how many superpixels or cubes.
        fill: what stands in; the evidence's if None.
        steps: T of a curve; the evidence's if None.
    """

    by: str = PIXELS
    side: int | None = None
    segments: int = SEGMENTS
    fill: Fill | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.steps is not None and self.steps < 2:
            raise UsageError(f"steps={self.steps}: a curve needs 2 or more")

    def units(self, case: Case, images: dict[str, Tensor]) -> Tensor:
        """``(N,)`` int64: which unit each pixel of all images is in, numbered from 0 without gaps."""
        if self.by == PIXELS:
            return torch.arange(sum(x[0, 0].numel() for x in images.values()))
        groups = partition(case, tuple(images), by=self.by, side=self.side, segments=self.segments)
        joined = torch.cat([groups.labels[name].flatten() for name in images])
        return torch.unique(joined, return_inverse=True)[1]


def unit_means(values: Tensor, units: Tensor) -> Tensor:
    """``(U,)`` mean of ``values (N,)`` over each unit."""
    total = torch.zeros(int(units.max()) + 1, dtype=torch.double).index_add_(0, units, values.double())
    return total / torch.bincount(units)


def unit_sums(values: Tensor, units: Tensor) -> Tensor:
    """``(U,)`` sum of ``values (N,)`` over each unit."""
    return torch.zeros(int(units.max()) + 1, dtype=torch.double).index_add_(0, units, values.double())
