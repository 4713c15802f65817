"""Efficient model parameter randomisation test: how much more complex the map becomes when the model forgets.

``(H(A') − H(A)) / H(A)``, ``A'`` the map of the wholly randomised model, ``H`` the entropy of the histogram of a map's
values in ``bins`` bins of equal width between its least and its largest value. From −1 up, higher is better: what a
model has learned leaves a map of few strong places, and without it the values scatter. It compares no pixel with
another, so that noise in the maps counts less than in ``mprt``, and costs one explanation. Source: hedstrom2023sanity,
with 100 bins, as Quantus 0.6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError
from pellucid.evaluate.maths import vector
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


def histogram_entropy(values: Tensor, bins: int) -> float:
    """Entropy (natural logarithm) of the histogram of the values between their least and their largest.

    Raises:
        Undefined: they are all the same.
    """
    if not float(values.max()) > float(values.min()):
        raise Undefined("a map is the same everywhere, so its values have no histogram")
    # Scaled first, so that neither tiny nor huge maps lose their bins.
    scaled = (values - values.min()) / (values.max() - values.min())
    counts, _ = np.histogram(scaled.numpy(), bins=bins, range=(0.0, 1.0))
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


@dataclass(frozen=True, kw_only=True)
class EfficientMPRT(Metric):
    """Relative rise of the entropy of the map's values when all of the model is randomised."""

    name = "efficient_mprt"
    question = "sanity"
    direction = "higher"
    low = -1.0
    needs = ("explainer",)
    source = "hedstrom2023sanity"
    bins: int = 100

    def __post_init__(self) -> None:
        """Check the options."""
        if self.bins < 2:
            raise UsageError(f"efficient_mprt: bins={self.bins}; give 2 or more")

    def score(self, view: View) -> Score:
        """The relative rise; both entropies are its parts."""
        before = histogram_entropy(view.vector, self.bins)
        after = histogram_entropy(vector(view.randomised), self.bins)
        return Score((after - before) / before, "", (("model", 0.0, before), ("randomised", 1.0, after)))
