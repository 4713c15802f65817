"""Label randomisation: how alike the map is to that of a model which was trained on shuffled labels.

The same network, trained in the same way on labels that were permuted between patients, has learned the pictures but
not what they mean. A map that it gives as well does not depend on the relation of picture and label. Spearman's ρ of
the magnitudes, as in ``parameter_randomisation``, class and region of the model that is explained kept. In [−1, 1],
lower is better. Source: adebayo2018sanity (data randomisation test).
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.similarity import Similarity, alike, check_likeable, check_similarity
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class LabelRandomisation(Metric):
    """Spearman's ρ of the map's magnitudes with those of a model trained on shuffled labels."""

    name = "label_randomisation"
    question = "sanity"
    direction = "lower"
    low, high = -1.0, 1.0
    needs = ("explainer", "shuffled")
    source = "adebayo2018sanity"
    similarity: Similarity = "spearman"

    def __post_init__(self) -> None:
        """Check the options."""
        check_similarity(self.similarity)

    def score(self, view: View) -> Score:
        """Similarity to the map of the model that was trained on shuffled labels."""
        evidence, clean = view.evidence, view.attribution
        _ = view.vector  # refuses a map that is not finite or on another grid
        engine = evidence.shuffled_engine
        check_likeable(clean, self.similarity)  # a map that is like nothing is not made again
        (made,) = evidence.remade("shuffled", view.place, engine, [evidence.case])
        return Score(alike(clean, made, self.similarity))
