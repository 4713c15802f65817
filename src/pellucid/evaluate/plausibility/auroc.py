"""Area under the ROC curve of the map as a detector of the region's pixels.

How likely a pixel of the region has a higher value than one outside, a tie counting half, over the positive part. In
[0, 1], higher is better; a flat map and a random one score 0.5 whatever the region's size. With a small region, nearly
all of the curve is about pixels far down the ranking: read ``average_precision`` beside it. Source:
fawcett2006introduction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pellucid.evaluate.plausibility.regional import ByRank
from pellucid.evaluate.shared.levels import Levels


def auroc(found: Levels) -> float:
    """Area under the ROC curve for a region that is neither empty nor everything."""
    start = found.hits.new_zeros(1)
    true, false = torch.cat([start, found.hits]), torch.cat([start, found.size - found.hits])
    area = ((true[1:] + true[:-1]) / 2 * (false[1:] - false[:-1])).sum()
    return float((area / (true[-1] * false[-1])).clamp(0, 1))


@dataclass(frozen=True, kw_only=True)
class Auroc(ByRank):
    """Area under the ROC curve of the map as a detector of the region's pixels."""

    name = "auroc"
    source = "fawcett2006introduction"

    def value(self, found: Levels) -> float:
        """The area."""
        return auroc(found)
