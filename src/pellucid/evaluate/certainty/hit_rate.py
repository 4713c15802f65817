"""Hit rate of SegU: how much of what is most salient lies in the region.

``certainty = |B ∩ M| / |B|`` with B the top 5 % of the unmasked map's positive part (strictly above the percentile over
the picture). In [0, 1], higher is more certain; ``uncertainty = 1 − certainty``. A region with fewer pixels than B
cannot reach 1, and a random map scores the region's share of the picture. (CheXlocalize's hit rate is another number:
``pointing_game``.) Source: zhang2025segx.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.evaluate.certainty.salient import MostSalient, salient
from pellucid.evaluate.shared.levels import Levels


@dataclass(frozen=True, kw_only=True)
class HitRate(MostSalient):
    """Share of the map's most salient pixels that lie in the region; uncertainty is 1 minus it."""

    name = "hit_rate"
    source = "zhang2025segx"

    def value(self, found: Levels) -> float:
        """The certainty."""
        size, hits = salient(found, self.top)
        return hits / size
