"""Dice of the region with as many of the map's highest pixels as it has itself.

``2 |B ∩ M| / (|B| + |M|)`` with ``|B| = |M|``, which is ``|B ∩ M| / |M|``: the same number as ``rank_accuracy``. Pixels
that tie at the last place count by the mean over their orders. In [0, 1], higher is better; a flat map and a random one
score the region's share of the picture. Source: dice1945measures.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.evaluate.plausibility.levels import expected_hits
from pellucid.evaluate.plausibility.regional import Regional


def dice_matched(support: Tensor, mask: Tensor) -> float:
    """Dice of the bool ``mask`` (not empty) with as many of the highest pixels of ``support``."""
    size = int(mask.sum())
    return 2 * expected_hits(support, mask, size) / (size + size)


@dataclass(frozen=True, kw_only=True)
class DiceMatched(Regional):
    """Dice of the region with as many of the map's highest pixels as it has itself."""

    name = "dice_matched"
    source = "dice1945measures"

    def value(self, support: Tensor, mask: Tensor) -> float:
        """Dice at equal size."""
        return dice_matched(support, mask)
