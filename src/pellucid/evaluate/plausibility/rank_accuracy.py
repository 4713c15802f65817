"""Relevance rank accuracy: how many of the map's highest pixels, as many as the region has, lie in it.

``|top_{|M|}(A⁺) ∩ M| / |M|``. Pixels that tie at the last place count by the mean over their orders. In [0, 1], higher
is better; a flat map and a random one score the region's share of the picture. The same number as ``dice_matched``.
Source: arras2022clevr.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.evaluate.plausibility.levels import expected_hits
from pellucid.evaluate.plausibility.regional import Regional


def rank_accuracy(support: Tensor, mask: Tensor) -> float:
    """The share of the ``|mask|`` highest pixels of ``support`` that lie in the bool ``mask`` (not empty)."""
    size = int(mask.sum())
    return expected_hits(support, mask, size) / size


@dataclass(frozen=True, kw_only=True)
class RankAccuracy(Regional):
    """Share of the map's highest pixels, as many as the region has, that lie in it."""

    name = "rank_accuracy"
    source = "arras2022clevr"

    def value(self, support: Tensor, mask: Tensor) -> float:
        """The share inside."""
        return rank_accuracy(support, mask)
