"""Relevance mass accuracy: the share of the map that lies in the region.

``Σ_{v ∈ M} A⁺(v) / Σ_v A⁺(v)`` over the positive part. In [0, 1], higher is better; a flat map scores the region's
share of the picture. Source: arras2022clevr.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.view import View


def mass_accuracy(support: Tensor, mask: Tensor) -> float:
    """The share of the sum of ``support`` (not negative, not all zero) that lies in the bool ``mask``."""
    return float((support[mask].sum() / support.sum()).clamp(0, 1))


@dataclass(frozen=True, kw_only=True)
class MassAccuracy(Metric):
    """Share of the map's positive sum that lies in the region.

    Attributes:
        region: of the case, in place of the one that all metrics compare with.
    """

    name = "mass_accuracy"
    question = "plausibility"
    low, high = 0.0, 1.0
    needs = ("region",)
    source = "arras2022clevr"
    region: str | None = None

    def score(self, view: View) -> Score:
        """The share inside."""
        seen = view.at(self.region)
        return Score(mass_accuracy(seen.support, seen.mask))
