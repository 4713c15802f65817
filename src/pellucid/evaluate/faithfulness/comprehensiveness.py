"""Comprehensiveness: how much the model's answer loses without the pixels that the map ranks highest.

``mean_q s(x) − s(x without its top q)`` over the bins q, 1, 5, 10, 20 and 50 %. In [−1, 1], higher is better: what
was left out of the explanation does not suffice. A reading of the deletion curve. Source: deyoung2020eraser.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.bins import BinMetric
from pellucid.evaluate.shared.curves import Curves


@dataclass(frozen=True, kw_only=True)
class Comprehensiveness(BinMetric):
    """Mean drop of the model's answer without the top 1, 5, 10, 20 and 50 % of the pixels.

    The options are those of :class:`BinMetric`.
    """

    name = "comprehensiveness"
    source = "deyoung2020eraser"

    def reduce(self, curves: Curves) -> Score:
        """The mean loss along the deletion curve."""
        deletion, _ = curves.on(self.on)
        return self.mean_loss(curves.fraction, deletion, float(deletion[0]))
