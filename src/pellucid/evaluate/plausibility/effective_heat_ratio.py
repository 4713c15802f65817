"""Effective heat ratio: the region's share of what the map marks, over all thresholds.

``∫₀¹ |B_q ∩ M| / |B_q| dq`` with ``B_q`` the pixels at or above the q-quantile of those that have at least a tenth of
the map's maximum (``floor``); the integral is exact, each of these pixels being one step of it. In [0, 1], higher is
better; a map that marks nothing outside the region scores 1, a flat map and a random one the region's share of the
picture. The reference code takes eleven quantiles and, by default, adds up heat in place of pixels, so that the number
depends on the map's scale: here pixels count. Source: zhang2021fine.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pellucid.errors import UsageError
from pellucid.evaluate.plausibility.regional import ByRank
from pellucid.evaluate.shared.levels import Levels


def effective_heat_ratio(found: Levels, floor: float = 0.1) -> float:
    """Mean precision over the thresholds that the pixels from the floor up set."""
    kept = (found.values > 0) & (found.values >= floor * found.values[0])
    size, hits = found.size[kept], found.hits[kept]
    weight = torch.diff(size, prepend=size.new_zeros(1))  # of each value: as many steps as pixels have it
    return float(((hits / size * weight).sum() / size[-1]).clamp(0, 1))


@dataclass(frozen=True, kw_only=True)
class EffectiveHeatRatio(ByRank):
    """The region's share of the pixels above a threshold, over all thresholds.

    Attributes:
        floor: the lowest threshold, as a share of the map's maximum.
    """

    name = "effective_heat_ratio"
    source = "zhang2021fine"
    floor: float = 0.1

    def __post_init__(self) -> None:
        """Check the options."""
        if not 0 <= self.floor < 1:
            raise UsageError(f"floor={self.floor}: give a share of the map's maximum, from 0 to below 1")

    def value(self, found: Levels) -> float:
        """The ratio, over all thresholds."""
        return effective_heat_ratio(found, self.floor)
