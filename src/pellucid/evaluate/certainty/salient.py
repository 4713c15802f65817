"""The most salient pixels of a map that was not masked, and what of them lies in a region."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pellucid.errors import UsageError
from pellucid.evaluate.plausibility.regional import ByRank
from pellucid.evaluate.shared.levels import Levels
from pellucid.evaluate.undefined import Undefined


def salient(found: Levels, top: float = 0.05) -> tuple[float, float]:
    """How many pixels are strictly above the ``1 − top`` percentile over the whole picture, how many in the region.

    Pixels that tie with the percentile are left out, as in SegX; a map with fewer than ``top`` positive pixels gives
    these.

    Raises:
        Undefined: no pixel is above it, as in a flat map.
    """
    place = (1 - top) * (found.pixels - 1)  # counted from the smallest, between two pixels as a rule
    low = int(place)
    percentile = torch.lerp(found.largest(found.pixels - low), found.largest(found.pixels - low - 1), place - low)
    size, hits = (float(n) for n in found.above(percentile))
    if not size:
        raise Undefined(f"no pixel is above the map's {1 - top:.4g} quantile: it is flat at the top")
    return size, hits


@dataclass(frozen=True, kw_only=True)
class MostSalient(ByRank):
    """A certainty made from the map's most salient pixels and a region, such as a segmenter's predicted mask.

    Attributes:
        top: their share of the picture.
    """

    question = "certainty"
    top: float = 0.05

    def __post_init__(self) -> None:
        """Check the options."""
        if not 0 < self.top < 1:
            raise UsageError(f"top={self.top}: give a share of the picture, between 0 and 1")
