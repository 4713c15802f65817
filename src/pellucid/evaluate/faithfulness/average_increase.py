"""Average increase: whether the model's answer rises when it sees the picture through the map.

1 if ``s(x ∘ Â + fill ∘ (1 − Â)) > s(x)`` by more than rounding, else 0; higher is better. The average over cases, in
the table of a run, is the original's "increase in confidence". Source: chattopadhay2018gradcam.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.soft import SoftMetric
from pellucid.evaluate.view import View

ROUNDING = 1e-6  # of an answer between 0 and 1, in single precision


@dataclass(frozen=True, kw_only=True)
class AverageIncrease(SoftMetric):
    """1 if the model's answer rises when it sees the picture through the map, else 0.

    The options are those of :class:`SoftMetric`.
    """

    name = "average_increase"
    source = "chattopadhay2018gradcam"

    def score(self, view: View) -> Score:
        """Whether the answer rises for one map."""
        whole, masked, _ = self.seen(view).curve.on(self.on, cut=False)[0].tolist()
        return Score(float(masked > whole + ROUNDING))
