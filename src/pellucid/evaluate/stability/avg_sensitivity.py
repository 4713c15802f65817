"""Average sensitivity: the mean change of the map under a small change of the input.

``mean over draws of ‖A(x + ε) − A(x)‖ / ‖A(x)‖``, as max-sensitivity, whose copies and maps it shares. At least 0,
lower is better. Source: yeh2019infidelity.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.stability.jitter import UnderJitter, relative_changes
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class AvgSensitivity(UnderJitter):
    """Mean relative change of the map over three small random changes of the input."""

    name = "avg_sensitivity"
    question = "stability"
    direction = "lower"
    low = 0.0
    needs = ("explainer",)
    source = "yeh2019infidelity"

    def score(self, view: View) -> Score:
        """The mean change over the draws."""
        return Score(float(relative_changes(view.vector, self.jittered(view)).mean()))
