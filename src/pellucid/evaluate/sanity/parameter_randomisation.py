"""Parameter randomisation: how alike the map is to that of the same network with random weights.

Spearman's ρ of ``|A|`` with the ``|A|`` that the method makes of a copy with every parameter drawn anew (all layers at
once; :func:`pellucid.evaluate.shared.randomise.randomise`), class and region kept, over the pixels of all images at
which at least one of the two is more than 1 % of its maximum (the original takes all pixels; maps of a patient before
a black background then agree by their empty part alone). In [−1, 1], lower is better: a map that survives does not
explain what the model has learned. With ``draws`` the mean over several random networks. Source: adebayo2018sanity.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.attribution import Attribution
from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError
from pellucid.evaluate.maths import likeness, vector
from pellucid.evaluate.shared.cascade import Curve, Step, curves, whole
from pellucid.evaluate.undefined import Undefined
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
    draws: int = 1

    def __post_init__(self) -> None:
        """Check the options."""
        if self.draws < 1:
            raise UsageError(f"parameter_randomisation: draws={self.draws}; give 1 or more")

    def score(self, view: View) -> Score:
        """Similarity to the map of the randomised model, mean over the draws."""
        evidence = view.evidence
        if self.draws == 1:
            return Score(likeness(view.vector, vector(view.randomised)))

        def remake(place: int, step: Step | None) -> Attribution:
            if step is None:
                return evidence.maps[place]
            first = step.position == 1  # the one that the verdict asks for as well
            return evidence.randomised(place) if first else evidence.explained(place, step.engine, [evidence.case])[0]

        def make() -> list[Curve | Undefined]:
            models = whole(evidence.engine, evidence.seed, self.draws)
            return curves(len(evidence.maps), models, remake, lambda a, b: likeness(vector(a), vector(b)))

        found = evidence.once(("draws", self.draws), make)[view.place]
        if isinstance(found, Undefined):
            raise found.bare()
        return found.score()
