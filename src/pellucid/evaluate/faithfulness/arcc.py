"""ARCC: ROAD, coherency and complexity in one number.

Harmonic mean of ``min(max(2 · ROAD, 0), 1)`` at 20, 40, 60 and 80 %, of coherency and of ``1 − complexity``, these as
in adcc; in [0, 1], higher is better, 0 where one of the three is 0. A map that ROAD finds no better than a random one
scores 0. It follows the authors' implementation (in pytorch-grad-cam), where the average drop of adcc, which a map of
the whole picture wins, gives way to ROAD. Source: domeniconi2026evaluate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.faithfulness.road import Road, road
from pellucid.evaluate.faithfulness.soft import SoftMetric, harmonic_mean
from pellucid.evaluate.shared.soften import coherency
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class Arcc(SoftMetric):
    """Harmonic mean of ROAD, of the map's coherency and of its simplicity.

    The other options are those of :class:`SoftMetric`.

    Attributes:
        percentages: of the pixels, for ROAD.
        noise: sd of the noise on imputed pixels, as a share of the picture's range.
    """

    name = "arcc"
    needs = ("model", "explainer")
    source = "domeniconi2026evaluate"
    percentages: tuple[float, ...] = (20, 40, 60, 80)
    noise: float = 0.01

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        given = self.percentages if isinstance(self.percentages, Sequence) else (self.percentages,)
        object.__setattr__(self, "percentages", Road(percentages=tuple(given), noise=self.noise).percentages)

    def score(self, view: View) -> Score:
        """The harmonic mean; its parts are the three numbers."""
        faithful = min(max(2 * road(view, self.percentages, self.noise, self.on).value, 0.0), 1.0)
        simple = 1 - self.seen(view).complexity
        coherent = coherency(view.evidence, view.place, self.filler)
        names = ("road", "coherency", "1 - complexity")
        parts = tuple((name, 0.0, value) for name, value in zip(names, (faithful, coherent, simple)))
        return Score(harmonic_mean((faithful, coherent, simple)), parts=parts)
