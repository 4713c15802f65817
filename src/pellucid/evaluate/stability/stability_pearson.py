"""Stability: how alike the map is to the maps of slightly noisy copies of the input.

``mean over draws of r(A(x), A(x + ε))``, Pearson's r over all pixels of all images (channels summed; the tables' where
there are no images), ``ε ~ N(0, (0.01 · (max − min))²)`` on pictures and 0.01 sd on tables, class and region kept. In
[−1, 1], higher is better. The multi-modal workshop uses one draw of sd 0.01; source: alvarezmelis2018robustness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from pellucid.core.metric import Score
from pellucid.evaluate.maths import pearson, vector
from pellucid.evaluate.stability.noise import UnderNoise
from pellucid.evaluate.view import View


def stability_pearson(clean: Tensor, noisy: Sequence[Tensor]) -> float:
    """Mean Pearson r of a map with others, all as vectors.

    Raises:
        Undefined: a map is constant.
    """
    return sum(pearson(clean, other) for other in noisy) / len(noisy)


@dataclass(frozen=True, kw_only=True)
class StabilityPearson(UnderNoise):
    """Mean Pearson r between the map and the maps of noisy copies of the input."""

    name = "stability_pearson"
    question = "stability"
    low, high = -1.0, 1.0
    needs = ("explainer",)
    source = "alvarezmelis2018robustness"

    def score(self, view: View) -> Score:
        """Mean r over the draws."""
        return Score(stability_pearson(view.vector, [vector(a) for a in self.noisy(view)]))
