"""Sufficiency: how much the model's answer loses when it sees only the pixels that the map ranks highest.

``mean_q s(x) − s(fill with the top q)`` over the bins q, 1, 5, 10, 20 and 50 %. In [−1, 1], lower is better: the
explanation alone suffices for the answer. A reading of the insertion curve. Source: deyoung2020eraser.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.bins import BinMetric
from pellucid.evaluate.shared.curves import Curves


@dataclass(frozen=True, kw_only=True)
class Sufficiency(BinMetric):
    """Mean drop of the model's answer when it sees the top 1, 5, 10, 20 and 50 % of the pixels alone.

    The options are those of :class:`BinMetric`.
    """

    name = "sufficiency"
    direction = "lower"
    source = "deyoung2020eraser"

    def reduce(self, curves: Curves) -> Score:
        """The mean loss along the insertion curve."""
        deletion, insertion = curves.on(self.on)
        return self.mean_loss(curves.fraction, insertion, float(deletion[0]))
