"""Stability of the ranking: whether the map still puts the same pixels first when the input hardly changes.

``mean over draws of ρ(A(x), A(x + ε))``, Spearman's ρ over all pixels of all images, channels summed (the tables' where
there are no images); the copies and maps of ``stability_pearson``. In [−1, 1], higher is better. Source:
alvarezmelis2018robustness; ghorbani2019fragile for ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.maths import spearman, vector
from pellucid.evaluate.stability.noise import UnderNoise
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class StabilitySpearman(UnderNoise):
    """Mean Spearman ρ between the map and the maps of noisy copies of the input."""

    name = "stability_spearman"
    question = "stability"
    low, high = -1.0, 1.0
    needs = ("explainer",)
    source = "ghorbani2019fragile"

    def score(self, view: View) -> Score:
        """Mean ρ over the draws."""
        found = [spearman(view.vector, vector(a)) for a in self.noisy(view)]
        return Score(sum(found) / len(found))
