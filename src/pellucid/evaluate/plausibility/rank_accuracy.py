"""Relevance rank accuracy: how many of the map's highest pixels, as many as the region has, lie in it.

``|top_{|M|}(A⁺) ∩ M| / |M|``. Pixels that tie at the last place count by the mean over their orders. In [0, 1], higher
is better; a flat map and a random one score the region's share of the picture. The same number as ``dice_matched``.
Source: arras2022clevr.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.evaluate.plausibility.regional import ByRank
from pellucid.evaluate.shared.levels import Levels


def rank_accuracy(found: Levels) -> float:
    """The share of the highest pixels, as many as the region (not empty) has, that lie in it."""
    return found.expected_hits(found.region) / found.region


@dataclass(frozen=True, kw_only=True)
class RankAccuracy(ByRank):
    """Share of the map's highest pixels, as many as the region has, that lie in it."""

    name = "rank_accuracy"
    source = "arras2022clevr"

    def value(self, found: Levels) -> float:
        """The share inside."""
        return rank_accuracy(found)
