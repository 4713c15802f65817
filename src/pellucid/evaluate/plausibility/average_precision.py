"""Average precision of the map as a detector of the region's pixels.

``Σ_n (R_n − R_{n−1}) P_n`` over the distinct values of the positive part, from the highest; pixels that tie are taken
together. In [0, 1], higher is better; a flat map scores the region's share of the picture. Source:
davis2006relationship.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pellucid.evaluate.plausibility.regional import ByRank
from pellucid.evaluate.shared.levels import Levels


def average_precision(found: Levels) -> float:
    """Average precision for a region that is not empty."""
    gain = torch.diff(found.hits / found.hits[-1], prepend=found.hits.new_zeros(1))
    return float((gain * found.hits / found.size).sum().clamp(0, 1))


@dataclass(frozen=True, kw_only=True)
class AveragePrecision(ByRank):
    """Average precision of the map as a detector of the region's pixels."""

    name = "average_precision"
    source = "davis2006relationship"

    def value(self, found: Levels) -> float:
        """Average precision."""
        return average_precision(found)
