"""Label sufficiency: of the other cases with a similar map, the share with the same prediction.

Maps are similar if their distance is at most ``threshold`` times the largest between any two cases of the cohort:
Euclidean over the blocks (by default 4 along each axis of each picture), each in units of its sd over the cohort, every
map divided by its largest magnitude. In [0, 1], higher is better; undefined where no other case is similar. Source:
dasgupta2022framework, who ask whether an explanation that holds for another case comes with the same prediction; named
so because ``sufficiency`` is that of the deleted pixels. Quantus gives 0 where there is no other.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError
from pellucid.evaluate.faithfulness.same_prediction import share_of_same
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class LabelSufficiency(Metric):
    """Share of the cases with a similar map that have the same prediction.

    Attributes:
        threshold: largest distance of similar maps, as a share of the largest in the cohort.
    """

    name = "label_sufficiency"
    question = "faithfulness"
    low, high = 0.0, 1.0
    needs = ("cohort",)
    source = "dasgupta2022framework"
    threshold: float = 0.6

    def __post_init__(self) -> None:
        """Check the options."""
        if not 0 <= self.threshold < 1:
            raise UsageError(f"threshold={self.threshold}: give a share of the largest distance, from 0 and under 1")

    def score(self, view: View) -> Score:
        """The share."""
        found, place = view.evidence.signatures(view.place)
        _ = view.vector  # refuses a map on another grid
        alike = (found.distances[place] <= self.threshold).tolist()
        return share_of_same(found, place, alike, "a similar map")
