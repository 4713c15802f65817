"""Active share: the part of the picture that the map visibly marks.

The share of the pixels with ``|A| > at · max|A|``, over all pixels of all images, channels summed; ``at`` is 0.1 by
default, about where a colour bar leaves its lowest shade. From 1/N to 1, lower is sparser. Source: hurley2009comparing,
whose l0-epsilon it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.complexity.above import checked, scaled
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class ActiveShare(Metric):
    """Share of the pixels with more than a tenth of the map's largest magnitude.

    Attributes:
        at: the threshold, as a share of the largest magnitude.
    """

    name = "active_share"
    question = "complexity"
    direction = "lower"
    low, high = 0.0, 1.0
    source = "hurley2009comparing"
    at: float = 0.1

    def __post_init__(self) -> None:
        """Check the options."""
        checked("at", self.at)

    def score(self, view: View) -> Score:
        """The share."""
        return Score(float((scaled(view.vector) > self.at).double().mean()))
