"""Attribution localisation: the share of the map in the region, against the region's share of the picture.

``μ_w = (R_in / R_tot) · (S_tot / S_in)`` with R the sum of the map's positive part and S the number of pixels. From 0,
higher is better; a flat map scores 1, up to ``S_tot / S_in``. ``weighted=False`` leaves the second factor out: with
positive values that is ``mass_accuracy``. Source: kohlbrenner2020towards. (Quantus 0.6 multiplies by the region's
share, where the paper divides by it, and takes the picture's size from the batch.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.metric import Score
from pellucid.errors import UsageError
from pellucid.evaluate.plausibility.mass_accuracy import mass_accuracy
from pellucid.evaluate.plausibility.regional import ByPlace
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class AttributionLocalisation(ByPlace):
    """Share of the map in the region, divided by the region's share of the picture.

    Attributes:
        weighted: divide by the region's share.
        values: ``"positive"`` values only, or their ``"absolute"`` size.
        max_size: regions with a larger share of the picture have no score (1 keeps all; the source uses 0.25 and 0.5).
    """

    name = "attribution_localisation"
    low, high = 0.0, math.inf
    source = "kohlbrenner2020towards"
    weighted: bool = True
    values: Literal["positive", "absolute"] = "positive"
    max_size: float = 1.0

    def __post_init__(self) -> None:
        """Check the options."""
        if self.values not in ("positive", "absolute"):
            raise UsageError(f"values={self.values!r}: choose 'positive' or 'absolute'")
        if not 0 < self.max_size <= 1:
            raise UsageError(f"max_size={self.max_size}: give a share of the picture, above 0 and up to 1")

    def score(self, view: View) -> Score:
        """The share inside, weighted."""
        seen = view.at(self.region)
        return Score(self.value(seen.support if self.values == "positive" else _magnitude(seen), seen.mask))

    def value(self, support: Tensor, mask: Tensor) -> float:
        """The share of ``support`` inside, weighted."""
        size = float(mask.double().mean())
        if size > self.max_size:
            raise Undefined(f"the region is {size:.0%} of the picture, more than max_size={self.max_size:g}")
        inside = mass_accuracy(support, mask)
        return inside / size if self.weighted else inside


def _magnitude(view: View) -> Tensor:
    parts = [m.abs() for m in view.heat.values() if m.shape == view.mask.shape]
    if not parts:
        raise Undefined(f"no map is on the region's grid {tuple(view.mask.shape)}")
    total = torch.stack(parts).sum(0)
    if not float(total.max()) > 0:
        raise Undefined("the map is zero everywhere")
    return total
