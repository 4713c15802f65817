"""Relevance mass accuracy: the share of the map that lies in the region.

``Σ_{v ∈ M} A⁺(v) / Σ_v A⁺(v)`` over the positive part. In [0, 1], higher is better; a flat map scores the region's
share of the picture. Source: arras2022clevr.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.evaluate.plausibility.regional import ByPlace


def mass_accuracy(support: Tensor, mask: Tensor) -> float:
    """The share of the sum of ``support`` (not negative, not all zero) that lies in the bool ``mask``."""
    return float((support[mask].sum() / support.sum()).clamp(0, 1))


@dataclass(frozen=True, kw_only=True)
class MassAccuracy(ByPlace):
    """Share of the map's positive sum that lies in the region."""

    name = "mass_accuracy"
    source = "arras2022clevr"

    def value(self, support: Tensor, mask: Tensor) -> float:
        """The share inside."""
        return mass_accuracy(support, mask)
