"""Completeness: how far the map is from adding up to what the model's answer gains from the picture.

``|ΣA − (f(x) − f(x'))| / |f(x) − f(x')|``. At least 0, lower is better; 0 for a map that adds up, 1 for a zero map.
``x'`` is the method's own baseline where it promises to add up (``notes["expected"]``, no pass), and the picture filled
otherwise (two passes for the case); tables keep their values then, so their maps are not counted. A method that
promises nothing of the kind is not at fault if it misses. Source: sundararajan2017axiomatic. Quantus 0.6 asks whether
the two are equal to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from pellucid.core.metric import Metric, Score
from pellucid.core.verdict import completeness_error
from pellucid.errors import UsageError, nearest
from pellucid.evaluate.of_units import rounding, values
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View

BASELINES = ("own", "fill")


@dataclass(frozen=True, kw_only=True)
class Completeness(Metric):
    """Relative difference of the map's sum and the change in the model's answer.

    Attributes:
        baseline: ``"own"``, the method's where it has one; ``"fill"``, the picture filled, for every method.
    """

    name = "completeness"
    question = "axiom"
    direction = "lower"
    low = 0.0
    needs = ("model",)
    scale_free = False
    source = "sundararajan2017axiomatic"
    baseline: Literal["own", "fill"] = "own"

    def __post_init__(self) -> None:
        """Check the options."""
        if self.baseline not in BASELINES:
            raise UsageError(f"baseline={self.baseline!r}: {nearest(str(self.baseline), BASELINES)}")

    def score(self, view: View) -> Score:
        """The relative error."""
        a, evidence = view.attribution, view.evidence
        _ = view.vector  # refuses a map that is not finite or on another grid
        own = a.notes.get("expected") if self.baseline == "own" else None
        if isinstance(own, int | float):
            flat = torch.cat([m.flatten().double() for m in a.maps.values()])
            if not torch.isfinite(flat).all():
                raise Undefined("the map has NaN or infinite values")
            total, expected, size = float(flat.sum()), float(own), a.score
        else:
            total = float(values(view).sum())
            whole, empty = evidence.ends()[:, evidence.column(view.place)].tolist()
            expected, size = whole - empty, max(abs(whole), abs(empty))
        if abs(expected) <= rounding(size):
            raise Undefined("the model's answer is that of the baseline, so there is nothing to add up to")
        return Score(completeness_error(total, expected))
