"""Average drop: the share of the model's answer that is lost when it sees the picture through the map.

``max(0, s(x) − s(x ∘ Â + fill ∘ (1 − Â))) / s(x)``, in [0, 1], lower is better. The average is over cases, in the
table of a run. A map that marks everything loses nothing: read it beside a metric of complexity, or take adcc.
Source: chattopadhay2018gradcam.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.soft import SoftMetric
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class AverageDrop(SoftMetric):
    """Share of the model's answer that is lost when it sees the picture through the map.

    The options are those of :class:`SoftMetric`.
    """

    name = "average_drop"
    direction = "lower"
    source = "chattopadhay2018gradcam"

    def score(self, view: View) -> Score:
        """The drop of one map."""
        return Score(self.drop(view))
