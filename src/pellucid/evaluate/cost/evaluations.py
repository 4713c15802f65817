"""Passes through the model that the map took.

Forward and backward passes of this case, counted per input (a batch of 8 counts 8) and, backwards, per target; those
that the method would need alone, whatever it shares with others. A backward pass takes about twice the time of a
forward one. At least 0, lower is better; the same on every machine. Source: robniksikonja2018perturbation.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.cost.account import account
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class Evaluations(Metric):
    """Forward and backward passes that the map took."""

    name = "evaluations"
    question = "cost"
    direction = "lower"
    low = 0.0
    unit = "passes"
    source = "robniksikonja2018perturbation"

    def score(self, view: View) -> Score:
        """The passes."""
        cost = account(view)
        return Score(float(cost.forwards + cost.backwards))
