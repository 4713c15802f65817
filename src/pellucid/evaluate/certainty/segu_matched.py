"""SegU at equal size: certainty from as many of the map's highest pixels as the region has.

``certainty = |B ∩ M| / |B ∪ M|`` with ``|B| = |M|``, over the positive part of the unmasked map; pixels that tie at the
last place count by the mean of ``|B ∩ M|``. In [0, 1], higher is more certain; a perfect map scores 1 whatever the
region's size. ``uncertainty = 1 − certainty``. Beside a person's region it is ``iou_matched``; here ``region=`` is a
segmenter's predicted mask. Source: zhang2025segx.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.evaluate.certainty.salient import Certain
from pellucid.evaluate.plausibility.iou_matched import iou_matched


@dataclass(frozen=True, kw_only=True)
class SegUMatched(Certain):
    """Intersection over union of the region with as many of the map's highest pixels; uncertainty is 1 minus it."""

    name = "segu_matched"
    source = "zhang2025segx"

    def value(self, support: Tensor, mask: Tensor) -> float:
        """The certainty."""
        return iou_matched(support, mask)
