"""SegU at equal size: certainty from as many of the map's highest pixels as the region has.

``certainty = |B ∩ M| / |B ∪ M|`` with ``|B| = |M|``, over the positive part of the unmasked map; pixels that tie at the
last place count by the mean of ``|B ∩ M|``. In [0, 1], higher is more certain; a perfect map scores 1 whatever the
region's size. ``uncertainty = 1 − certainty``. Beside a person's region it is ``iou_matched``; here ``region=`` is a
segmenter's predicted mask. Source: zhang2025segx.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.evaluate.plausibility.iou_matched import iou_matched
from pellucid.evaluate.plausibility.regional import ByRank
from pellucid.evaluate.shared.levels import Levels


@dataclass(frozen=True, kw_only=True)
class SegUMatched(ByRank):
    """Intersection over union of the region with as many of the map's highest pixels; uncertainty is 1 minus it."""

    name = "segu_matched"
    question = "certainty"
    source = "zhang2025segx"

    def value(self, found: Levels) -> float:
        """The certainty."""
        return iou_matched(found)
