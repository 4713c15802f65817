"""ADCC: average drop, coherency and complexity in one number.

Harmonic mean of ``1 − average drop``, coherency and ``1 − complexity``, in [0, 1], higher is better. Coherency is
``(r + 1) / 2`` with Pearson's ``r`` of the map's positive part with that of the picture seen through it, explained
again; complexity is the mean of ``Â``. 0 where one of the three is 0. Source: poppi2021revisiting.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.soft import SoftMetric, harmonic_mean
from pellucid.evaluate.shared.soften import coherency
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class Adcc(SoftMetric):
    """Harmonic mean of what is kept when the picture is seen through the map, of its coherency and its simplicity.

    The options are those of :class:`SoftMetric`.
    """

    name = "adcc"
    needs = ("model", "explainer")
    source = "poppi2021revisiting"

    def score(self, view: View) -> Score:
        """The harmonic mean; its parts are the three numbers."""
        kept, simple = 1 - self.drop(view), 1 - self.seen(view).complexity
        coherent = coherency(view.evidence, view.place, self.filler)
        names = ("1 - average_drop", "coherency", "1 - complexity")
        parts = tuple((name, 0.0, value) for name, value in zip(names, (kept, coherent, simple)))
        return Score(harmonic_mean((kept, coherent, simple)), parts=parts)
