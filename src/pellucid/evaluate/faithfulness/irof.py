"""IROF: the area over the model's answer, relative to that on the picture, as superpixels are taken away.

``1 − ∫₀¹ s(x without its top q superpixels) / s(x) dq``, superpixels ranked by their mean, trapezoid rule. At most 1,
higher is better; below 0 where taking away raises the answer. The original takes one superpixel a step, fills it with
the picture's mean, and reports its number of superpixels times this. Source: rieger2020irof.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.curve import CurveMetric
from pellucid.evaluate.shared.curves import Curves, area


@dataclass(frozen=True, kw_only=True)
class Irof(CurveMetric):
    """Area over the model's relative answer while the superpixels that the map ranks highest are taken away.

    The options are those of :class:`CurveMetric`; ``by`` is ``"superpixels"`` here.
    """

    name = "irof"
    low = -math.inf
    source = "rieger2020irof"
    by: str = "superpixels"

    def reduce(self, curves: Curves) -> Score:
        """The area over the relative deletion curve."""
        deletion, _ = curves.on(self.on)
        if not float(deletion[0]) > 0:
            return Score.undefined("the model gives the explained class no probability: nothing is relative to it")
        return Score(1 - area(curves.fraction, deletion / deletion[0]))
