"""Deletion: the area under the model's answer as the pixels the map ranks highest are taken away.

``∫₀¹ s(x without its top q pixels) dq``, trapezoid rule. In [0, 1]: for a classification the probability of the
explained class; for others, normalised so that the picture is 1 and the fill 0 and cut off there. Lower is better.
Source: petsiuk2018rise.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.curve import CurveMetric
from pellucid.evaluate.shared.curves import Curves, area


@dataclass(frozen=True, kw_only=True)
class DeletionAuc(CurveMetric):
    """Area under the model's answer while the pixels that the map ranks highest are taken away.

    The options are those of :class:`CurveMetric`.
    """

    name = "deletion_auc"
    direction = "lower"
    source = "petsiuk2018rise"

    def reduce(self, curves: Curves) -> Score:
        """The area under the deletion curve."""
        return Score(area(curves.fraction, curves.on(self.on)[0]))
