"""The share of each input in what the model loses without it.

``|f(x) − f(x without i)| / Σ_j |f(x) − f(x without j)|``: a picture that is absent is filled, a table is at its
training mean. In [0, 1], adding up to 1; no direction is better. It is the model's, the same for every map. Inputs
that stand in for each other both get little: compare ``shapley_share``. Source: zeiler2014visualizing.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.evaluate.modality.of_model import ModelShare
from pellucid.evaluate.shared.subsets import Subsets


@dataclass(frozen=True, kw_only=True)
class AblationShare(ModelShare):
    """Share of each input in what the model's answer loses without it."""

    name = "ablation_share"
    source = "zeiler2014visualizing"

    def worth(self, subsets: Subsets) -> dict[str, float]:
        """The loss without each."""
        return subsets.ablation()
