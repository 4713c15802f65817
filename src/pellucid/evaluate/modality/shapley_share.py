"""The share of each input in the exact Shapley values of the inputs.

``|φ_i| / Σ_j |φ_j|`` with ``φ`` from all 2ⁿ subsets of the inputs; a picture that is absent is filled, a table is at
its training mean. In [0, 1], adding up to 1; no direction is better. It is the model's, the same for every map. Source:
parcalabescu2023mmshap.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.modality.shares import shares
from pellucid.evaluate.shared.curves import FLOOR, TINY
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class ShapleyShare(Metric):
    """Share of each input in the exact Shapley values of the inputs."""

    name = "shapley_share"
    question = "modality"
    per_input = True
    direction = "none"
    low, high = 0.0, 1.0
    needs = ("model", "inputs")
    source = "parcalabescu2023mmshap"

    def score(self, view: View) -> dict[str, Score]:
        """One share per input."""
        subsets = view.modalities
        return shares(subsets.shapley(), tiny=TINY * float(subsets.values.abs().max().clamp(min=FLOOR)))
