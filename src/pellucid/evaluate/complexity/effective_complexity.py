"""Effective complexity: how many pixels the map says anything about.

The number of pixels with ``|A| > eps · max|A|``, over all pixels of all images, channels summed. From 1 to N, lower is
sparser. Source: nguyen2020quantitative; their measure is the least number of features, most relevant first, that keep
the model's expected loss low, which needs a sampler of the rest: the count is the form in use.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.complexity.above import checked, scaled
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class EffectiveComplexity(Metric):
    """Number of pixels whose magnitude is more than next to nothing.

    Attributes:
        eps: what next to nothing is, as a share of the largest magnitude.
    """

    name = "effective_complexity"
    question = "complexity"
    direction = "lower"
    low = 1.0
    unit = "pixels"
    source = "nguyen2020quantitative"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        """Check the options."""
        checked("eps", self.eps)

    def score(self, view: View) -> Score:
        """The number of pixels."""
        return Score(float((scaled(view.vector) > self.eps).sum()))
