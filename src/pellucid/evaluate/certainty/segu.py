"""SegU: certainty of a prediction, from how well its map falls on what a segmenter found.

``certainty = |B ∩ M| / |B ∪ M|`` and ``uncertainty = 1 − certainty``, with B the top 5 % of the unmasked map's positive
part (strictly above the percentile over the picture) and M the region, by design a segmenter's predicted mask
(``region=``). In [0, 1], higher is more certain. As |B| is fixed, even a perfect map reaches only
``min(|B|, |M|) / max(|B|, |M|)``: between cases with regions of different size the numbers differ without the map
doing so. ``segu_matched``, ``hit_rate`` and ``mass_in_mask`` stand beside it for that. With a region that is the whole
picture no map could score differently from another, so it is undefined, as with an empty one. Source: zhang2025segx,
who give the idea and no code of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.evaluate.certainty.salient import MostSalient, salient
from pellucid.evaluate.shared.levels import Levels


@dataclass(frozen=True, kw_only=True)
class SegU(MostSalient):
    """Intersection over union of the region with the map's most salient pixels; uncertainty is 1 minus it."""

    name = "segu"
    source = "zhang2025segx"

    def value(self, found: Levels) -> float:
        """The certainty."""
        size, hits = salient(found, self.top)
        return hits / (size + found.region - hits)
