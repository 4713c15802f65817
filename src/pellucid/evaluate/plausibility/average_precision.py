"""Average precision of the map as a detector of the region's pixels.

``Σ_n (R_n − R_{n−1}) P_n`` over the distinct values of the positive part, from the highest; pixels that tie are taken
together. In [0, 1], higher is better; a flat map scores the region's share of the picture. Source:
davis2006relationship.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.evaluate.plausibility.levels import levels
from pellucid.evaluate.plausibility.regional import Regional


def average_precision(support: Tensor, mask: Tensor) -> float:
    """Average precision of ``support`` for the bool ``mask`` (not empty), any one shape."""
    _, size, hits = levels(support, mask)
    gain = torch.diff(hits / hits[-1], prepend=hits.new_zeros(1))
    return float((gain * hits / size).sum().clamp(0, 1))


@dataclass(frozen=True, kw_only=True)
class AveragePrecision(Regional):
    """Average precision of the map as a detector of the region's pixels."""

    name = "average_precision"
    source = "davis2006relationship"

    def value(self, support: Tensor, mask: Tensor) -> float:
        """Average precision."""
        return average_precision(support, mask)
