"""Intersection over union of the map, thresholded at half of its maximum, with the region.

``|B ∩ M| / |B ∪ M|`` with ``B`` the pixels that have at least half of the maximum of the map's positive part. In
[0, 1], higher is better. Source: jaccard1912distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.evaluate.plausibility.threshold import Thresholded, above


def iou(found: Tensor, mask: Tensor) -> float:
    """Intersection over union of two bool tensors of one shape, not both empty."""
    return int((found & mask).sum()) / int((found | mask).sum())


@dataclass(frozen=True, kw_only=True)
class Iou(Thresholded):
    """Intersection over union of the region with the pixels that have at least half of the map's maximum."""

    name = "iou"
    source = "jaccard1912distribution"

    def value(self, support: Tensor, mask: Tensor) -> float:
        """Intersection over union with the region."""
        return iou(above(support, self.at), mask)
