"""Intersection over union with the region at a grid of thresholds, and its mean over them.

``1/T Σ_t |B_t ∩ M| / |B_t ∪ M|`` with ``B_t`` the pixels whose value on the min–max scale of the positive part,
``(A⁺ − min) / (max − min)``, is at least t, for t from 0.05 to 0.95. In [0, 1], higher is better; a flat map is at its
maximum everywhere and scores the region's share of the picture. The parts ``iou`` are the numbers at each threshold,
from which
:func:`~pellucid.evaluate.cohort.localise.tuned_iou` makes CheXlocalize's mIoU; the part ``share`` is the region's share
of the picture. Source: saporta2022benchmarking.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.metric import Score
from pellucid.errors import UsageError
from pellucid.evaluate.plausibility.regional import Regional
from pellucid.evaluate.view import View


def iou_at(support: Tensor, mask: Tensor, thresholds: Tensor) -> Tensor:
    """``(T,)`` intersection over union of the bool ``mask`` (not empty) with the pixels from each threshold up.

    Args:
        support: of any shape.
        mask: bool, of the same shape.
        thresholds: ``(T,)``, on the min–max scale of ``support``.
    """
    low, high = support.min(), support.max()
    scaled = ((support - low) / (high - low) if high > low else torch.ones_like(support)).flatten()
    inside = scaled[mask.flatten()]
    # How many values are at least t, from the sorted values: a pass over a volume for each t would be dear.
    size = len(scaled) - torch.searchsorted(scaled.sort().values, thresholds.to(scaled))
    both = len(inside) - torch.searchsorted(inside.sort().values, thresholds.to(scaled))
    return both.double() / (size + len(inside) - both)


@dataclass(frozen=True, kw_only=True)
class IouOverThresholds(Regional):
    """Mean intersection over union with the region over all thresholds of the map, none of them chosen.

    Attributes:
        count: of thresholds, evenly spaced between 0 and 1, both left out.
    """

    name = "iou_over_thresholds"
    source = "saporta2022benchmarking"
    count: int = 19

    def __post_init__(self) -> None:
        """Check the options."""
        if self.count < 1:
            raise UsageError(f"count={self.count}: give 1 threshold or more")

    @property
    def thresholds(self) -> Tensor:
        """``(count,)`` on the min–max scale."""
        return torch.arange(1, self.count + 1, dtype=torch.double) / (self.count + 1)

    def score(self, view: View) -> Score:
        """The mean, with the curve."""
        seen = view.at(self.region)
        curve = iou_at(seen.support, seen.mask, self.thresholds)
        parts = [("iou", t, v) for t, v in zip(self.thresholds.tolist(), curve.tolist())]
        return Score(float(curve.mean()), parts=(*parts, ("share", 0.0, float(seen.mask.double().mean()))))

    def value(self, support: Tensor, mask: Tensor) -> float:
        """The mean."""
        return float(iou_at(support, mask, self.thresholds).mean())
