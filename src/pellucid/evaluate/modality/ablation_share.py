"""The share of each input in what the model loses without it.

``|f(x) − f(x without i)| / Σ_j |f(x) − f(x without j)|``: a picture that is absent is filled, a table is at its
training mean. In [0, 1], adding up to 1; no direction is better. It is the model's, the same for every map. Inputs
that stand in for each other both get little: compare ``shapley_share``. Source: zeiler2014visualizing.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.modality.shares import shares
from pellucid.evaluate.shared.curves import FLOOR, TINY
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class AblationShare(Metric):
    """Share of each input in what the model's answer loses without it."""

    name = "ablation_share"
    question = "modality"
    per_input = True
    direction = "none"
    low, high = 0.0, 1.0
    needs = ("model", "inputs")
    source = "zeiler2014visualizing"

    def score(self, view: View) -> dict[str, Score]:
        """One share per input."""
        subsets = view.modalities
        return shares(subsets.ablation(), tiny=TINY * float(subsets.values.abs().max().clamp(min=FLOOR)))
