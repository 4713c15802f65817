"""Dice of the map, thresholded at half of its maximum, with the region.

``2 |B ∩ M| / (|B| + |M|)`` with ``B`` the pixels that have at least half of the maximum of the map's positive part.
In [0, 1], higher is better. Source: dice1945measures; the threshold is that of the multi-modal workshop.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.evaluate.plausibility.threshold import Thresholded, above


def dice(found: Tensor, mask: Tensor) -> float:
    """Dice of two bool tensors of one shape, not both empty."""
    return 2 * int((found & mask).sum()) / int(found.sum() + mask.sum())


@dataclass(frozen=True, kw_only=True)
class Dice(Thresholded):
    """Dice of the region with the pixels that have at least half of the map's maximum."""

    name = "dice"
    source = "dice1945measures"

    def value(self, support: Tensor, mask: Tensor) -> float:
        """Dice with the region."""
        return dice(above(support, self.at), mask)
