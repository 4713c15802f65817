"""What all comparisons of a map with a region have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.shared.levels import Levels
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class Regional(Metric):
    """A comparison of the map's positive part with a region. Several boxes are one region, their union.

    Attributes:
        region: of the case, in place of the one that all metrics compare with.
    """

    question = "plausibility"
    low, high = 0.0, 1.0
    needs = ("region",)
    region: str | None = None


@dataclass(frozen=True, kw_only=True)
class ByPlace(Regional):
    """One that is made from the map as it lies."""

    def score(self, view: View) -> Score:
        """The value for the map's positive part and the region."""
        seen = view.at(self.region)
        return Score(self.value(seen.support, seen.mask))

    @abstractmethod
    def value(self, support: Tensor, mask: Tensor) -> float:
        """The number, from ``support (*spatial)``, not negative, not all zero, and the bool ``mask`` of its shape."""


@dataclass(frozen=True, kw_only=True)
class ByRank(Regional):
    """One that is made from what the map finds as its threshold falls; all of these share one sort."""

    def score(self, view: View) -> Score:
        """The value for the levels of the map's positive part."""
        return Score(self.value(view.at(self.region).levels))

    @abstractmethod
    def value(self, found: Levels) -> float:
        """The number, from the levels."""
