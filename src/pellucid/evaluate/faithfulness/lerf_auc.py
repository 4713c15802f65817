"""LeRF: the area under the model's answer as the pixels the map ranks lowest are taken away.

``∫₀¹ s(x without its bottom q pixels) dq``, trapezoid rule, in [0, 1], higher is better: what the map calls
irrelevant should not be missed. Taking away the bottom q leaves the top 1 − q, so that with the same fill it is the
insertion curve read backwards, and the same number as insertion_auc; it has a name of its own because the literature
reports it, often beside MoRF (deletion_auc). Source: schulz2020restricting.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.curve import CurveMetric
from pellucid.evaluate.shared.curves import Curves, area


@dataclass(frozen=True, kw_only=True)
class LerfAuc(CurveMetric):
    """Area under the model's answer while the pixels that the map ranks lowest are taken away.

    The options are those of :class:`CurveMetric`.
    """

    name = "lerf_auc"
    source = "schulz2020restricting"

    def reduce(self, curves: Curves) -> Score:
        """The area under the deletion curve with the least relevant first."""
        return Score(area(curves.least_fraction, curves.least_first(self.on)[0]))
