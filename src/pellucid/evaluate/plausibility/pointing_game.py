"""Pointing game: does the map's maximum lie in the region?

1 if it does (or lies within the tolerance of it), else 0. Where several pixels share the maximum, the share of them
that hit: what a draw among them would give on average, so that a flat map scores the region's share of the picture.
In [0, 1], higher is better. Its mean over cases is the hit rate of CheXlocalize (saporta2022benchmarking). Source:
zhang2018top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from pellucid.core.metric import Score
from pellucid.errors import UsageError
from pellucid.evaluate.plausibility.regional import ByPlace
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


def pointing_game(
    support: Tensor, mask: Tensor, tolerance: float = 0.0, spacing: Sequence[float] | None = None
) -> float:
    """Share of the maxima of ``support`` within a distance (Euclidean) of the bool ``mask``.

    Args:
        support: ``(*spatial)``.
        mask: ``(*spatial)``, not empty.
        tolerance: the distance, in pixels, or in the unit of ``spacing``.
        spacing: of the pixels along each axis.
    """
    if tolerance > 0:
        mask = torch.from_numpy(distance_transform_edt(~mask.numpy(), sampling=spacing) <= tolerance)
    return float(mask[support == support.max()].double().mean())


@dataclass(frozen=True, kw_only=True)
class PointingGame(ByPlace):
    """Whether the map's maximum lies in the region; with tied maxima, the share of them that does.

    Attributes:
        tolerance: pixels by which it may miss.
        tolerance_mm: millimetres by which it may miss, in place of pixels; the case has to know its spacing.
    """

    name = "pointing_game"
    source = "zhang2018top"
    tolerance: float = 0.0
    tolerance_mm: float | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        if self.tolerance < 0:
            raise UsageError(f"tolerance={self.tolerance}: give 0 pixels or more")
        if self.tolerance_mm is not None and self.tolerance_mm < 0:
            raise UsageError(f"tolerance_mm={self.tolerance_mm}: give 0 mm or more")
        if self.tolerance_mm is not None and self.tolerance > 0:
            raise UsageError("tolerance and tolerance_mm are both given: choose pixels or millimetres")

    def score(self, view: View) -> Score:
        """Hit, miss, or the share of tied maxima that hit."""
        if self.tolerance_mm is None:
            return super().score(view)
        seen, spacing = view.at(self.region), view.case.spacing
        mask, support = seen.mask, seen.support
        if spacing is None:
            raise Undefined("the case has no spacing, so there are no millimetres: give tolerance in pixels")
        return Score(pointing_game(support, mask, self.tolerance_mm, spacing))

    def value(self, support: Tensor, mask: Tensor) -> float:
        """Hit, miss, or the share of tied maxima that hit, with a tolerance in pixels."""
        return pointing_game(support, mask, self.tolerance)
