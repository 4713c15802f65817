"""Monotonicity: whether the model's answer never falls as the picture is built up from its least relevant pixels.

Share of the steps from the fill to the picture, least relevant pixels first, in which ``s`` does not fall by more
than rounding. In [0, 1], higher is better. With ``strict`` it is 1 if no step falls and 0 otherwise, as in the
original (Quantus 0.6 never puts the pixels back, so that every map passes). The normalised scale is not cut off at 0
and 1 here. Source: arya2019one.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.curve import CurveMetric
from pellucid.evaluate.shared.curves import Curves

ROUNDING = 1e-6  # of an answer between 0 and 1, in single precision


@dataclass(frozen=True, kw_only=True)
class Monotonicity(CurveMetric):
    """Share of steps in which the answer does not fall while the picture is built up, least relevant pixels first.

    The other options are those of :class:`CurveMetric`.

    Attributes:
        strict: whether one falling step makes it 0.
    """

    name = "monotonicity"
    source = "arya2019one"
    strict: bool = False

    def reduce(self, curves: Curves) -> Score:
        """The share of steps that do not fall."""
        _, built = curves.least_first(self.on, cut=False)
        rising = (built.diff() >= -ROUNDING).double()
        return Score(float(rising.min() if self.strict else rising.mean()))
