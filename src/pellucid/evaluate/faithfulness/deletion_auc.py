"""Deletion: the area under the model's answer as the pixels the map ranks highest are taken away.

``∫₀¹ s(x without its top q pixels) dq``, trapezoid rule. In [0, 1]: for a classification the probability of the
explained class; for others, normalised so that the picture is 1 and the fill 0 and cut off there. Lower is better.
Source: petsiuk2018rise.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.faithfulness.scale import check
from pellucid.evaluate.shared.curves import Scale, area
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class DeletionAuc(Metric):
    """Area under the model's answer while the pixels that the map ranks highest are taken away.

    Attributes:
        on: ``"auto"``, ``"probability"`` or ``"normalised"`` (:meth:`Curves.on`).
    """

    name = "deletion_auc"
    question = "faithfulness"
    direction = "lower"
    low, high = 0.0, 1.0
    needs = ("model",)
    source = "petsiuk2018rise"
    on: Scale = "auto"

    def __post_init__(self) -> None:
        """Check the options."""
        check(self.on)

    def score(self, view: View) -> Score:
        """The area under the deletion curve."""
        return Score(area(view.curves.fraction, view.curves.on(self.on)[0]))
