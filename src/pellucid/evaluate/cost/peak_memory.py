"""The most device memory that was in use while the map was made.

The peak of what was allocated on the GPU, the model and the whole batch included. At least 0, lower is better.
Undefined on a CPU, where it cannot be told from other work. Source: robniksikonja2018perturbation.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.cost.account import account
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class PeakMemory(Metric):
    """Peak of the GPU memory in use while the map was made."""

    name = "peak_memory"
    question = "cost"
    direction = "lower"
    low = 0.0
    unit = "bytes"
    source = "robniksikonja2018perturbation"

    def score(self, view: View) -> Score:
        """The bytes."""
        peak = account(view).peak_bytes
        if peak is None:
            raise Undefined("the map was made on a CPU, where its memory cannot be told from other work")
        return Score(float(peak))
