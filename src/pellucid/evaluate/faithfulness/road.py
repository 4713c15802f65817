"""ROAD: what the model's answer loses when pixels are removed and made up from their surroundings.

``mean_q (s(x without its least relevant q) − s(x without its most relevant q)) / 2`` over q = 10, 20, …, 90 % of the
pixels, removed by noisy linear imputation (:mod:`pellucid.evaluate.shared.impute`), so that neither an edge nor a
colour of its own tells the model where something is missing. In [−0.5, 0.5], higher is better; a random map is at 0.
The combined form of Gildenblat's pytorch-grad-cam; the original reports both halves as accuracies over a cohort.
Source: rong2022consistent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError
from pellucid.evaluate.faithfulness.scale import check
from pellucid.evaluate.shared.curves import Scale
from pellucid.evaluate.shared.removal import removals
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View

PERCENTAGES = (10, 20, 30, 40, 50, 60, 70, 80, 90)


@dataclass(frozen=True, kw_only=True)
class Road(Metric):
    """Half the gap between the answers without the least and without the most relevant pixels, these imputed.

    Attributes:
        on: ``"auto"``, ``"probability"`` or ``"normalised"`` (:meth:`Curves.on`).
        percentages: of the pixels of all pictures together that are removed.
        noise: sd of the noise on imputed pixels, as a share of the picture's range.
    """

    name = "road"
    question = "faithfulness"
    direction = "higher"
    low, high = -0.5, 0.5
    needs = ("model",)
    source = "rong2022consistent"
    on: Scale = "auto"
    percentages: tuple[float, ...] = PERCENTAGES
    noise: float = 0.01

    def __post_init__(self) -> None:
        """Check the options."""
        check(self.on)
        given = tuple(self.percentages) if isinstance(self.percentages, Sequence) else (self.percentages,)
        object.__setattr__(self, "percentages", given)
        if not given or not all(isinstance(q, int | float) and 0 < q < 100 for q in given):
            raise UsageError(f"percentages={given!r}: give numbers between 0 and 100, such as 10, 20, … 90")
        if not (isfinite(self.noise) and self.noise >= 0):
            raise UsageError(f"noise={self.noise}: give a share of the picture's range, 0 or more")

    def score(self, view: View) -> Score:
        """The mean over the percentages; its parts are the two answers at each."""
        return road(view, self.percentages, self.noise, self.on)


def road(view: View, percentages: Sequence[float], noise: float, on: Scale) -> Score:
    """:class:`Road` of one map."""
    found = removals(view.evidence, [q / 100 for q in percentages], noise)[view.place]
    if isinstance(found, Undefined):
        raise found.bare()
    evidence = view.evidence
    most, least = found.on(on, lambda: evidence.scorer.pick(evidence.ends(), evidence.column(view.place)))
    parts = [
        (name, float(q), float(v))
        for name, curve in (("most_relevant", most), ("least_relevant", least))
        for q, v in zip(percentages, curve)
    ]
    return Score(float((least - most).mean()) / 2, parts=tuple(parts))
