"""Parameter randomisation: how alike the map is to that of the same network with random weights.

Spearman's ρ of ``|A|`` with the ``|A|`` that the method makes of a copy with every parameter drawn anew (all layers at
once; :func:`pellucid.evaluate.shared.randomise.randomise`), class and region kept, over the pixels of all images at
which at least one of the two is more than 1 % of its maximum (the original takes all pixels; maps of a patient before
a black background then agree by their empty part alone). In [−1, 1], lower is better: a map that survives does not
explain what the model has learned. Source: adebayo2018sanity.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.maths import likeness, vector
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class ParameterRandomisation(Metric):
    """Spearman's ρ of the map's magnitudes with those of a model with random weights."""

    name = "parameter_randomisation"
    question = "sanity"
    direction = "lower"
    low, high = -1.0, 1.0
    needs = ("explainer",)
    source = "adebayo2018sanity"

    def score(self, view: View) -> Score:
        """Similarity to the map of the randomised model."""
        return Score(likeness(view.vector, vector(view.randomised)))
