"""What the tests that randomise a model layer by layer have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.shared.cascade import Curve, Order, Over, Remake, check_cascade, curves, steps
from pellucid.evaluate.similarity import Similarity, alike, check_similarity
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class Layerwise(Metric):
    """Similarity of the map with the maps of models that are randomised layer by layer, mean over the layers.

    Attributes:
        order: of the layers, by when the model uses them: ``"top_down"`` or ``"bottom_up"``, cumulatively, or
            ``"independent"``, one at a time.
        layers: at most so many of them are looked at, evenly spread, the first and the last among them; None for all.
        over: ``"mean"`` over these layers, or ``"last"``.
        similarity: of the magnitudes; see :func:`~pellucid.evaluate.similarity.alike`.
    """

    question = "sanity"
    direction = "lower"
    low, high = -1.0, 1.0
    needs = ("explainer",)
    order: Order = "top_down"
    layers: int | None = 10
    over: Over = "mean"
    similarity: Similarity = "spearman"

    def __post_init__(self) -> None:
        """Check the options."""
        check_cascade(self.order, self.layers, self.over)
        check_similarity(self.similarity)

    @abstractmethod
    def remaker(self, evidence: Evidence) -> tuple[Hashable, Remake]:
        """What is compared, by name, and how it is made."""

    def score(self, view: View) -> Score:
        """The mean over the layers; the layers are its parts."""
        evidence, _ = view.evidence, view.vector  # refuses a map that is not finite or on another grid
        what, remake = self.remaker(evidence)

        def make() -> list[Curve | Undefined]:
            models = steps(evidence, self.order, self.layers)
            return curves(len(evidence.maps), models, remake, lambda a, b: alike(a, b, self.similarity))

        found = evidence.once(("layerwise", what, self.order, self.layers, self.similarity), make)[view.place]
        if isinstance(found, Undefined):
            raise found.bare()
        return found.score(self.over)
