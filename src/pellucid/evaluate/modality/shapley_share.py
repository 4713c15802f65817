"""The share of each input in the exact Shapley values of the inputs.

``|φ_i| / Σ_j |φ_j|`` with ``φ`` from all 2ⁿ subsets of the inputs; a picture that is absent is filled, a table is at
its training mean. In [0, 1], adding up to 1; no direction is better. It is the model's, the same for every map. Source:
parcalabescu2023mmshap.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.evaluate.modality.of_model import ModelShare
from pellucid.evaluate.shared.subsets import Subsets


@dataclass(frozen=True, kw_only=True)
class ShapleyShare(ModelShare):
    """Share of each input in the exact Shapley values of the inputs."""

    name = "shapley_share"
    source = "parcalabescu2023mmshap"

    def worth(self, subsets: Subsets) -> dict[str, float]:
        """The Shapley values."""
        return subsets.shapley()
