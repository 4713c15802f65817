"""What all comparisons of a map with a region have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class Regional(Metric):
    """A number made from the map's positive part and a region. Several boxes are one region, their union.

    Attributes:
        region: of the case, in place of the one that all metrics compare with.
    """

    question = "plausibility"
    low, high = 0.0, 1.0
    needs = ("region",)
    region: str | None = None

    def score(self, view: View) -> Score:
        """The value for the map's positive part and the region."""
        seen = view.at(self.region)
        return Score(self.value(seen.support, seen.mask))

    @abstractmethod
    def value(self, support: Tensor, mask: Tensor) -> float:
        """The number, from ``support (*spatial)``, not negative, not all zero, and the bool ``mask`` of its shape."""
