"""Repeatability: how alike the map is to what the same method makes of the same input with another seed.

``mean over runs of r(A, A')``, Pearson's r over all pixels of all images, channels summed (the tables' where there are
no images). 1 for a method that does not sample. In [−1, 1], higher is better: what is missing to 1 is noise of the
method, which more samples reduce. Source: visani2022statistical, who ask it of LIME.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError
from pellucid.evaluate.maths import pearson, vector
from pellucid.evaluate.view import View


def agreement(a: Tensor, b: Tensor) -> float:
    """Pearson's r; exactly 1 for equal maps, whatever its rounding.

    Raises:
        Undefined: one of them is constant.
    """
    r = pearson(a, b)
    return 1.0 if torch.equal(a, b) else r


@dataclass(frozen=True, kw_only=True)
class Repeatability(Metric):
    """Mean Pearson r between the map and the same method's maps with other seeds.

    Attributes:
        runs: with other seeds.
    """

    name = "repeatability"
    question = "stability"
    low, high = -1.0, 1.0
    needs = ("explainer",)
    source = "visani2022statistical"
    runs: int = 2

    def __post_init__(self) -> None:
        """Check the options."""
        if self.runs < 1:
            raise UsageError(f"runs={self.runs}: give 1 or more")

    def score(self, view: View) -> Score:
        """Mean r over the runs."""
        e, clean = view.evidence, view.vector
        first = 1 + int(view.attribution.provenance.get("seed", 0))
        others = [
            vector(e.remade(("seed", seed), view.place, e.engine, [e.case], seed=seed)[0])
            for seed in range(first, first + self.runs)
        ]
        return Score(sum(agreement(clean, other) for other in others) / len(others))
