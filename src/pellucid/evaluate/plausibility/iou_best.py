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

from pellucid.core.metric import Score
from pellucid.errors import UsageError
from pellucid.evaluate.plausibility.regional import ByRank
from pellucid.evaluate.shared.levels import Levels
from pellucid.evaluate.view import View

Overlap = Literal["iou", "dice"]


def best_overlap(found: Levels, overlap: Overlap = "iou") -> tuple[float, float]:
    """The best overlap of the region with the pixels from t up, and the highest t > 0 that gives it."""
    both = found.size + found.region
    overlaps = 2 * found.hits / both if overlap == "dice" else found.hits / (both - found.hits)
    # A pixel without a positive value is no part of what the map shows, at whatever threshold.
    overlaps = torch.where(found.values > 0, overlaps, torch.full_like(overlaps, -1.0))
    best = int(overlaps.argmax())
    return float(overlaps[best]), float(found.values[best])


@dataclass(frozen=True, kw_only=True)
class IouBest(ByRank):
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
        found = view.at(self.region).levels
        value, at = best_overlap(found, self.overlap)
        return Score(value, parts=(("threshold", at / float(found.values[0]), value),))

    def value(self, found: Levels) -> float:
        """The best overlap."""
        return best_overlap(found, self.overlap)[0]
