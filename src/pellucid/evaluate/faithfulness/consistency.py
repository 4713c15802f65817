"""Consistency: of the other cases with the same map, the share with the same prediction.

Two cases have the same map if the block that carries most of it (by magnitude, with its sign) is the same; with
``top=3``, the three blocks. Blocks are those of the cohort, by default 4 along each axis of each picture. In [0, 1],
higher is better; undefined where no other case has the same map. An explanation that says the same of cases that the
model tells apart leaves something out. Source: dasgupta2022framework; Quantus compares the signs of the first five
pixels, and gives 0 where there is no other.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError
from pellucid.evaluate.faithfulness.same_prediction import share_of_same
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class Consistency(Metric):
    """Share of the cases with the same map that have the same prediction.

    Attributes:
        top: how many blocks of largest magnitude make the map.
    """

    name = "consistency"
    question = "faithfulness"
    low, high = 0.0, 1.0
    needs = ("cohort",)
    source = "dasgupta2022framework"
    top: int = 1

    def __post_init__(self) -> None:
        """Check the options."""
        if self.top < 1:
            raise UsageError(f"top={self.top}: give 1 or more blocks")

    def score(self, view: View) -> Score:
        """The share."""
        found, place = view.evidence.signatures(view.place)
        _ = view.vector  # refuses a map on another grid
        row = found.values[place]
        if row.max() == row.min():
            raise Undefined("the map is the same everywhere, so it has no strongest block")
        return share_of_same(found, place, found.same(place, self.top).tolist(), "the same map")
