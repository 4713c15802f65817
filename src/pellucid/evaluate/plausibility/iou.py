"""Intersection over union of the map, thresholded at half of its maximum, with the region.

``|B ∩ M| / |B ∪ M|`` with ``B`` the pixels that have at least half of the maximum of the map's positive part. In
[0, 1], higher is better. Source: jaccard1912distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.plausibility.threshold import above, check
from pellucid.evaluate.view import View


def iou(found: Tensor, mask: Tensor) -> float:
    """Intersection over union of two bool tensors of one shape, not both empty."""
    return float((found & mask).sum() / (found | mask).sum())


@dataclass(frozen=True, kw_only=True)
class Iou(Metric):
    """Intersection over union of the region with the pixels that have at least half of the map's maximum.

    Attributes:
        region: of the case, in place of the one that all metrics compare with.
        at: the threshold, as a share of the maximum.
    """

    name = "iou"
    question = "plausibility"
    low, high = 0.0, 1.0
    needs = ("region",)
    source = "jaccard1912distribution"
    region: str | None = None
    at: float = 0.5

    def __post_init__(self) -> None:
        """Check the options."""
        check(self.at)

    def score(self, view: View) -> Score:
        """Intersection over union with the region."""
        seen = view.at(self.region)
        return Score(iou(above(seen.support, self.at), seen.mask))
