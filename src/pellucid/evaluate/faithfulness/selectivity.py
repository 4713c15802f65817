"""Selectivity: the area under the model's answer as the blocks with the highest relevance are taken away.

``∫₀¹ s(x without its top q blocks) dq``, blocks ranked by their mean, trapezoid rule. In [0, 1], lower is better: it
is deletion_auc over blocks. The original takes one block a step, which ``steps`` of at least the number of blocks
gives; fewer steps are a coarser rule for the same area. Source: montavon2018methods.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.curve import CurveMetric
from pellucid.evaluate.shared.curves import Curves, area


@dataclass(frozen=True, kw_only=True)
class Selectivity(CurveMetric):
    """Area under the model's answer while the blocks that the map ranks highest are taken away.

    The options are those of :class:`CurveMetric`; ``by`` is ``"blocks"`` here.
    """

    name = "selectivity"
    direction = "lower"
    source = "montavon2018methods"
    by: str = "blocks"

    def reduce(self, curves: Curves) -> Score:
        """The area under the deletion curve."""
        return Score(area(curves.fraction, curves.on(self.on)[0]))
