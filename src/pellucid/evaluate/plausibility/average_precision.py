"""Average precision of the map as a detector of the region's pixels.

``Σ_n (R_n − R_{n−1}) P_n`` over the distinct values of the positive part, from the highest; pixels that tie are taken
together. In [0, 1], higher is better; a flat map scores the region's share of the picture. Source:
davis2006relationship.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.view import View


def average_precision(support: Tensor, mask: Tensor) -> float:
    """Average precision of ``support`` for the bool ``mask`` (not empty), any one shape."""
    values, order = support.flatten().sort(descending=True)
    hits = mask.flatten()[order].double().cumsum(0)
    last = torch.cat([values[1:] != values[:-1], torch.ones(1, dtype=torch.bool)])  # of each group of ties
    found = hits[last]
    precision = found / (torch.nonzero(last).flatten() + 1)
    gain = torch.diff(found / hits[-1], prepend=found.new_zeros(1))
    return float((gain * precision).sum().clamp(0, 1))


@dataclass(frozen=True, kw_only=True)
class AveragePrecision(Metric):
    """Average precision of the map as a detector of the region's pixels.

    Attributes:
        region: of the case, in place of the one that all metrics compare with.
    """

    name = "average_precision"
    question = "plausibility"
    low, high = 0.0, 1.0
    needs = ("region",)
    source = "davis2006relationship"
    region: str | None = None

    def score(self, view: View) -> Score:
        """Average precision."""
        seen = view.at(self.region)
        return Score(average_precision(seen.support, seen.mask))
