"""The best overlap with the region that any threshold of the map gives.

``max_t |B_t ∩ M| / |B_t ∪ M|`` over all positive values t of the map, ``B_t`` the pixels with at least t; Dice by
``overlap="dice"``. In [0, 1], higher is better; a flat map scores the region's share s of the picture (``2s / (1 + s)``
for Dice). The threshold is chosen with the region in view, so this is what the map could give at best, and a random map
scores above its share. Source: jaccard1912distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.metric import Score
from pellucid.errors import UsageError
from pellucid.evaluate.plausibility.levels import levels
from pellucid.evaluate.plausibility.regional import Regional
from pellucid.evaluate.view import View

Overlap = Literal["iou", "dice"]


def best_overlap(support: Tensor, mask: Tensor, overlap: Overlap = "iou") -> tuple[float, float]:
    """The best overlap of ``{support ≥ t}`` with the bool ``mask``, and the highest t > 0 that gives it."""
    values, size, hits = levels(support, mask)
    both = size + mask.sum()
    found = 2 * hits / both if overlap == "dice" else hits / (both - hits)
    # A pixel without a positive value is no part of what the map shows, at whatever threshold.
    found = torch.where(values > 0, found, torch.full_like(found, -1.0))
    best = int(found.argmax())
    return float(found[best]), float(values[best])


@dataclass(frozen=True, kw_only=True)
class IouBest(Regional):
    """Intersection over union with the region at the threshold that suits it best.

    The part ``threshold`` says which one, as a share of the map's maximum.

    Attributes:
        overlap: ``"iou"`` or ``"dice"``.
    """

    name = "iou_best"
    source = "jaccard1912distribution"
    overlap: Overlap = "iou"

    def __post_init__(self) -> None:
        """Check the options."""
        if self.overlap not in ("iou", "dice"):
            raise UsageError(f"overlap={self.overlap!r}: choose 'iou' or 'dice'")

    def score(self, view: View) -> Score:
        """The best overlap, and at which threshold."""
        seen = view.at(self.region)
        value, at = best_overlap(seen.support, seen.mask, self.overlap)
        return Score(value, parts=(("threshold", at / float(seen.support.max()), value),))

    def value(self, support: Tensor, mask: Tensor) -> float:
        """The best overlap."""
        return best_overlap(support, mask, self.overlap)[0]
