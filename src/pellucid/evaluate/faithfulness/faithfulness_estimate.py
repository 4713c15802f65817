"""Faithfulness estimate: does the map's sum over a part say how far the answer falls without it?

``r(Σ_u A, f(x) − f(x without u))``, Pearson over the parts u of a partition of all images, each taken away alone:
about 64 boxes of each picture by default (``by="pixels"`` is the original, and dear). In [−1, 1], higher is better; 1
for the exact map of a linear model, 0 on average for a random one. Source: alvarezmelis2018towards.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.of_units import OfUnits, agreement, largest, values
from pellucid.evaluate.shared.alone import alone
from pellucid.evaluate.shared.plan import unit_sums
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class FaithfulnessEstimate(OfUnits):
    """Pearson r of the map's sum over each part with the drop without it."""

    name = "faithfulness_estimate"
    question = "faithfulness"
    low, high = -1.0, 1.0
    needs = ("model",)
    source = "alvarezmelis2018towards"

    def score(self, view: View) -> Score:
        """The correlation over all parts."""
        mine = values(view)
        units, scores = alone(view.evidence, self.plan)
        scores = scores[:, view.evidence.column(view.place)]
        return Score(agreement(unit_sums(mine, units), -scores, largest(scores)))
