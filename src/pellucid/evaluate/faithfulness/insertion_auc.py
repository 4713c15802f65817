"""Insertion: the area under the model's answer as the pixels the map ranks highest come back.

``∫₀¹ s(fill with the top q pixels of x) dq``, trapezoid rule. In [0, 1]: for a classification the probability of
the explained class; for others, normalised so that the picture is 1 and the fill 0 and cut off there. Higher is
better. Source: petsiuk2018rise.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.curve import CurveMetric
from pellucid.evaluate.shared.curves import Curves, area


@dataclass(frozen=True, kw_only=True)
class InsertionAuc(CurveMetric):
    """Area under the model's answer while the pixels that the map ranks highest come back to an empty picture.

    The options are those of :class:`CurveMetric`.
    """

    name = "insertion_auc"
    source = "petsiuk2018rise"

    def reduce(self, curves: Curves) -> Score:
        """The area under the insertion curve."""
        return Score(area(curves.fraction, curves.on(self.on)[1]))
