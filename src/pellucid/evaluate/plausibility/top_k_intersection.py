"""Top-k intersection: the share of the map's k highest pixels that lie in the region.

``|top_k(A⁺) ∩ M| / k``. Pixels that tie at the last place count by the mean over their orders. In [0, 1], higher is
better; a flat map and a random one score the region's share of the picture. With ``concept_influence`` it is divided by
that share, so that regions of different size can be compared: chance is 1, and it goes up to ``N / |M|`` for N pixels.
A region of fewer than k pixels cannot reach 1. Source: theiner2022interpretable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pellucid.errors import UsageError
from pellucid.evaluate.plausibility.regional import ByRank
from pellucid.evaluate.shared.levels import Levels


def top_k_intersection(found: Levels, k: int) -> float:
    """The share of the k highest pixels (all, if there are fewer) that lie in the region."""
    k = min(k, found.pixels)
    return found.expected_hits(k) / k


@dataclass(frozen=True, kw_only=True)
class TopKIntersection(ByRank):
    """Share of the map's k highest pixels that lie in the region.

    Attributes:
        top: k as a share of the picture, at least one pixel; 2 % is the usual 1,000 pixels of a 224² picture.
        k: pixels, in place of ``top``.
        concept_influence: divide by the region's share of the picture.
    """

    name = "top_k_intersection"
    source = "theiner2022interpretable"
    top: float = 0.02
    k: int | None = None
    concept_influence: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        if not 0 < self.top <= 1:
            raise UsageError(f"top={self.top}: give a share of the picture, above 0 and up to 1")
        if self.k is not None and self.k < 1:
            raise UsageError(f"k={self.k}: give 1 pixel or more")
        if self.concept_influence:
            object.__setattr__(self, "high", math.inf)

    def value(self, found: Levels) -> float:
        """The share inside, or how many times chance it is."""
        k = self.k if self.k is not None else max(1, round(self.top * found.pixels))
        share = top_k_intersection(found, k)
        return share * found.pixels / found.region if self.concept_influence else share
