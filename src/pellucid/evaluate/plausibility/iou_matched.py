"""Intersection over union of the region with as many of the map's highest pixels as it has itself.

``|B ∩ M| / |B ∪ M|`` with ``|B| = |M|``. Pixels that tie at the last place count by the mean of ``|B ∩ M|`` over their
orders. In [0, 1], higher is better; a flat map scores ``s / (2 − s)`` for a region with the share ``s`` of the picture.
Source: jaccard1912distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.evaluate.plausibility.regional import ByRank
from pellucid.evaluate.shared.levels import Levels


def iou_matched(found: Levels) -> float:
    """Intersection over union of the region (not empty) with as many of the highest pixels."""
    size = found.region
    hits = found.expected_hits(size)
    return hits / (2 * size - hits)


@dataclass(frozen=True, kw_only=True)
class IouMatched(ByRank):
    """Intersection over union of the region with as many of the map's highest pixels as it has itself."""

    name = "iou_matched"
    source = "jaccard1912distribution"

    def value(self, found: Levels) -> float:
        """Intersection over union at equal size."""
        return iou_matched(found)
