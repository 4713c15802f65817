"""The most salient pixels of a map that was not masked, and what of them lies in a region."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.errors import UsageError
from pellucid.evaluate.plausibility.regional import Regional
from pellucid.evaluate.undefined import Undefined


def salient(support: Tensor, top: float = 0.05) -> Tensor:
    """The pixels strictly above the ``1 − top`` percentile of ``support`` over the whole picture, bool.

    Pixels that tie with the percentile are left out, as in SegX; a map with fewer than ``top`` positive pixels gives
    these.

    Raises:
        Undefined: no pixel is above it, as in a flat map.
    """
    values = support.flatten().double().sort().values
    place = (1 - top) * (len(values) - 1)  # torch.quantile stops at 2²⁴ elements: a volume has more
    low = min(int(place), len(values) - 2) if len(values) > 1 else 0
    percentile = torch.lerp(values[low], values[min(low + 1, len(values) - 1)], place - low)
    found = support > percentile
    if not found.any():
        raise Undefined(f"no pixel is above the map's {1 - top:.4g} quantile: it is flat at the top")
    return found


@dataclass(frozen=True, kw_only=True)
class Certain(Regional):
    """A certainty made from the map's positive part and a region, such as a segmenter's predicted mask."""

    question = "certainty"
    source = "zhang2025segx"


@dataclass(frozen=True, kw_only=True)
class MostSalient(Certain):
    """One that looks at the map's most salient pixels.

    Attributes:
        top: their share of the picture.
    """

    top: float = 0.05

    def __post_init__(self) -> None:
        """Check the options."""
        if not 0 < self.top < 1:
            raise UsageError(f"top={self.top}: give a share of the picture, between 0 and 1")
