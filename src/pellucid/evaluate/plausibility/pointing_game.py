"""Pointing game: does the map's maximum lie in the region?

1 if it does (or lies within ``tolerance`` pixels of it), else 0. Where several pixels share the maximum, the share of
them that hit: what a draw among them would give on average, so that a flat map scores the region's share of the
picture. In [0, 1], higher is better. Source: zhang2018top.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError
from pellucid.evaluate.view import View


def pointing_game(support: Tensor, mask: Tensor, tolerance: float = 0.0) -> float:
    """Share of the maxima of ``support`` within ``tolerance`` pixels (Euclidean) of the bool ``mask``."""
    if tolerance > 0:
        mask = torch.from_numpy(distance_transform_edt(~mask.numpy()) <= tolerance)
    return float(mask[support == support.max()].double().mean())


@dataclass(frozen=True, kw_only=True)
class PointingGame(Metric):
    """Whether the map's maximum lies in the region; with tied maxima, the share of them that does.

    Attributes:
        region: of the case, in place of the one that all metrics compare with.
        tolerance: pixels by which it may miss.
    """

    name = "pointing_game"
    question = "plausibility"
    low, high = 0.0, 1.0
    needs = ("region",)
    source = "zhang2018top"
    region: str | None = None
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        """Check the options."""
        if self.tolerance < 0:
            raise UsageError(f"tolerance={self.tolerance}: give 0 pixels or more")

    def score(self, view: View) -> Score:
        """Hit, miss, or the share of tied maxima that hit."""
        seen = view.at(self.region)
        return Score(pointing_game(seen.support, seen.mask, self.tolerance))
