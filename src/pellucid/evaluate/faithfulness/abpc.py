"""ABPC: the area between the curves of least and of most relevant pixels first taken away.

``∫₀¹ s(x without its bottom q pixels) − s(x without its top q pixels) dq``, trapezoid rule, in [−1, 1], higher is
better. The expectation of a random map is 0, whatever the model and the fill. Also called degradation, or symmetric
relevance gain. Source: schulz2020restricting.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.curve import CurveMetric
from pellucid.evaluate.shared.curves import Curves, between


@dataclass(frozen=True, kw_only=True)
class Abpc(CurveMetric):
    """Area between the model's answers while the lowest and while the highest ranked pixels are taken away.

    The options are those of :class:`CurveMetric`.
    """

    name = "abpc"
    low = -1.0
    source = "schulz2020restricting"

    def reduce(self, curves: Curves) -> Score:
        """The area between the LeRF and the MoRF curve."""
        return Score(between(curves, self.on))
