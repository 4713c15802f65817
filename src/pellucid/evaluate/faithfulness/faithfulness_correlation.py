"""Faithfulness correlation: does the map's sum over random pixels say how far the answer falls without them?

``r(Σ_S A, f(x) − f(x without S))``, Pearson over 100 random subsets S of the pixels of all images, the same subsets for
every map. In [−1, 1], higher is better; 1 for the exact map of a linear model, 0 on average for a random one (standard
deviation about 0.1). ``|S|`` is ``N^((d−1)/d)`` by default, as many pixels as a row or a slice has: 224 of 224², 224²
of 224³. Source: bhatt2020evaluating.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.errors import UsageError
from pellucid.evaluate.of_units import OfUnits, agreement, check_draws, largest, values
from pellucid.evaluate.shared.draws import random_subsets
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class FaithfulnessCorrelation(OfUnits):
    """Pearson r of the map's sum over random subsets of the pixels with the drop without them.

    Attributes:
        draws: how many subsets.
        size: units in a subset; ``U^((d−1)/d)`` of U units in d dimensions if None.
    """

    name = "faithfulness_correlation"
    question = "faithfulness"
    low, high = -1.0, 1.0
    needs = ("model",)
    source = "bhatt2020evaluating"
    by: str = "pixels"
    draws: int = 100
    size: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        check_draws(self.draws, 3)
        if self.size is not None and self.size < 1:
            raise UsageError(f"size={self.size}: a subset has 1 {self.by.rstrip('s')} or more")

    def score(self, view: View) -> Score:
        """The correlation over all subsets."""
        mine = values(view)
        drawn = random_subsets(view.evidence, self.plan, self.draws, self.size)
        scores = drawn.scores[:, view.evidence.column(view.place)]
        return Score(agreement(drawn.sums(mine), -scores, largest(scores)))
