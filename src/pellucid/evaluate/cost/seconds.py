"""Seconds that the map took.

Wall-clock time of the method, the batch's divided by its cases; targets that are explained together share it. What a
method takes over from another (the same activations, say) is in its passes and not in its time: compare the
evaluations as well. At least 0, lower is better; it depends on the machine. Source: robniksikonja2018perturbation.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.cost.account import account
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class Seconds(Metric):
    """Wall-clock time that the map took."""

    name = "seconds"
    question = "cost"
    direction = "lower"
    low = 0.0
    unit = "s"
    source = "robniksikonja2018perturbation"

    def score(self, view: View) -> Score:
        """The seconds."""
        return Score(account(view).seconds)
