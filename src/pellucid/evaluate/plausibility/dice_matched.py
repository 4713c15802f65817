"""Dice of the region with as many of the map's highest pixels as it has itself.

``2 |B ∩ M| / (|B| + |M|)`` with ``|B| = |M|``, which is ``|B ∩ M| / |M|``: the same number as ``rank_accuracy``. Pixels
that tie at the last place count by the mean over their orders. In [0, 1], higher is better; a flat map and a random one
score the region's share of the picture. Source: dice1945measures.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.evaluate.plausibility.regional import ByRank
from pellucid.evaluate.shared.levels import Levels


def dice_matched(found: Levels) -> float:
    """Dice of the region (not empty) with as many of the highest pixels."""
    size = found.region
    return 2 * found.expected_hits(size) / (size + size)


@dataclass(frozen=True, kw_only=True)
class DiceMatched(ByRank):
    """Dice of the region with as many of the map's highest pixels as it has itself."""

    name = "dice_matched"
    source = "dice1945measures"

    def value(self, found: Levels) -> float:
        """Dice at equal size."""
        return dice_matched(found)
