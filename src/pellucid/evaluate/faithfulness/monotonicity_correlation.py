"""Monotonicity correlation: do the parts that the map makes much of move the answer more when they are replaced?

``ρ(|Σ_u A|, E[(f(x) − f(x with u replaced))²])``, Spearman over the parts u of a partition of all images (about 64
boxes of each picture), each replaced alone by uniform noise between the picture's minimum and maximum, mean over 8
draws. In [−1, 1], higher is better. The original divides the squares by ``f(x)²``, which leaves ranks as they are.
Source: nguyen2020quantitative.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.evaluate.maths import ranks
from pellucid.evaluate.of_units import SAME, OfUnits, agreement, check_draws, moves, values
from pellucid.evaluate.shared.alone import alone_in_noise
from pellucid.evaluate.shared.plan import unit_sums
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class MonotonicityCorrelation(OfUnits):
    """Spearman's ρ of the magnitude of each part in the map with the expected squared change under noise there.

    Attributes:
        draws: of the noise.
    """

    name = "monotonicity_correlation"
    question = "faithfulness"
    low, high = -1.0, 1.0
    needs = ("model",)
    source = "nguyen2020quantitative"
    draws: int = 8

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        check_draws(self.draws, 1)

    def score(self, view: View) -> Score:
        """The correlation over all parts."""
        mine, column = values(view), view.evidence.column(view.place)
        whole = float(view.evidence.ends()[0, column])
        units, scores = alone_in_noise(view.evidence, self.plan, self.draws)
        change = scores[:, :, column] - whole
        moves(change, whole)
        size = unit_sums(mine, units).abs()
        if float(size.max() - size.min()) <= SAME * float(size.max()):
            raise Undefined("the map says the same of every part, so it has no correlation")
        return Score(agreement(ranks(size), ranks(change.square().mean(1)), 0.0))
