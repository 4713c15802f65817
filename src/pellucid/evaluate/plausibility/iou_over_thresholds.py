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
from pellucid.evaluate.plausibility.regional import ByRank
from pellucid.evaluate.shared.levels import Levels
from pellucid.evaluate.view import View


def iou_at(found: Levels, thresholds: Tensor) -> Tensor:
    """``(T,)`` intersection over union of the region (not empty) with the pixels from each threshold up.

    Args:
        found: of the map.
        thresholds: ``(T,)``, on its min–max scale.
    """
    low, high = found.values[-1], found.values[0]
    scaled = (found.values - low) / (high - low) if high > low else torch.ones_like(found.values)
    size, hits = Levels(scaled, found.size, found.hits).at_least(thresholds)
    return hits / (size + found.region - hits)


@dataclass(frozen=True, kw_only=True)
class IouOverThresholds(ByRank):
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
        found = view.at(self.region).levels
        curve = iou_at(found, self.thresholds)
        parts = [("iou", t, v) for t, v in zip(self.thresholds.tolist(), curve.tolist())]
        return Score(float(curve.mean()), parts=(*parts, ("share", 0.0, found.region / found.pixels)))

    def value(self, found: Levels) -> float:
        """The mean."""
        return float(iou_at(found, self.thresholds).mean())
