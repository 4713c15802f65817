"""Focus: in a mosaic of several cases, how much of the map lies on those of the class that is explained.

``Σ_own A⁺ / Σ A⁺`` with A the map of a mosaic, 2 × 2 tiles (2 × 2 × 2 of a volume) half of which show the class, the
case among them, and half other classes; the mean over several mosaics. In [0, 1], higher is better; chance is 0.5. It
needs no mask. Tiles are shrunk so that the model takes the mosaic, on which it was not trained. Source:
ariasduart2022focus, whose mosaics are twice as large as a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.attribution import Attribution
from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError
from pellucid.evaluate import maths
from pellucid.evaluate.shared.mosaic import Mosaic, mosaics
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


def focus(a: Attribution, mosaic: Mosaic) -> float:
    """The share of the map's positive part, over all pictures, that lies on the tiles of the class."""
    own = total = 0.0
    for m in maths.heat(a).values():
        positive = m.clamp(min=0)
        own += float(positive[mosaic.inside(m.shape)].sum())
        total += float(positive.sum())
    if not total > 0:
        raise Undefined("the map of a mosaic has no positive value")
    return min(own / total, 1.0)


@dataclass(frozen=True, kw_only=True)
class Focus(Metric):
    """Share of a mosaic's positive relevance that lies on the cases of the class that is explained.

    Attributes:
        mosaics: how many, with other cases in other places.
    """

    name = "focus"
    question = "plausibility"
    low, high = 0.0, 1.0
    needs = ("explainer", "cohort")
    source = "ariasduart2022focus"
    mosaics: int = 2

    def __post_init__(self) -> None:
        """Check the options."""
        if self.mosaics < 1:
            raise UsageError(f"mosaics={self.mosaics}: give 1 or more")

    def score(self, view: View) -> Score:
        """The mean share over the mosaics, with each of them."""
        evidence = view.evidence
        k = evidence.target(view.place).index
        made = mosaics(evidence, k, self.mosaics)
        maps = evidence.remade(("focus", k, self.mosaics), view.place, evidence.engine, [m.case for m in made])
        found = [focus(a, m) for a, m in zip(maps, made)]
        return Score(sum(found) / len(found), parts=tuple(("mosaic", float(i), v) for i, v in enumerate(found)))
