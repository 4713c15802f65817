"""Area under the ROC curve of the map as a detector of the region's pixels.

How likely a pixel of the region has a higher value than one outside, a tie counting half, over the positive part. In
[0, 1], higher is better; a flat map and a random one score 0.5 whatever the region's size. With a small region, nearly
all of the curve is about pixels far down the ranking: read ``average_precision`` beside it. Source:
fawcett2006introduction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.evaluate.plausibility.levels import levels
from pellucid.evaluate.plausibility.regional import Regional


def auroc(support: Tensor, mask: Tensor) -> float:
    """Area under the ROC curve of ``support`` for the bool ``mask``, neither empty nor everything."""
    _, size, hits = levels(support, mask)
    start = hits.new_zeros(1)
    found, false = torch.cat([start, hits]), torch.cat([start, size - hits])
    area = ((found[1:] + found[:-1]) / 2 * (false[1:] - false[:-1])).sum()
    return float((area / (found[-1] * false[-1])).clamp(0, 1))


@dataclass(frozen=True, kw_only=True)
class Auroc(Regional):
    """Area under the ROC curve of the map as a detector of the region's pixels."""

    name = "auroc"
    source = "fawcett2006introduction"

    def value(self, support: Tensor, mask: Tensor) -> float:
        """The area."""
        return auroc(support, mask)
