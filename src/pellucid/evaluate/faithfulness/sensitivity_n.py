"""Sensitivity-n: faithfulness correlation for subsets of several sizes, from one pixel to most of them.

``mean over n of r(Σ_S A, f(x) − f(x without S))``, Pearson over 100 random subsets S of n pixels of all images, the
same for every map; the parts are the correlation at each share n/N. In [−1, 1], higher is better. A size at which there
is no correlation is left out. The original varies n from 1 to four fifths of the features. Source: ancona2018towards.
Quantus 0.6 computes something else under the name: pixels in the order of the map, correlated over the pictures of a
batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pellucid.core.metric import Score
from pellucid.errors import UsageError
from pellucid.evaluate.of_units import OfUnits, agreement, check_draws, largest, values
from pellucid.evaluate.shared.draws import random_subsets
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class SensitivityN(OfUnits):
    """Mean Pearson r of the map's sums over random subsets with the drops without them, over several sizes.

    Attributes:
        draws: subsets of each size.
        shares: of the units in a subset, between 0 and 1; at least one unit is taken.
    """

    name = "sensitivity_n"
    question = "faithfulness"
    low, high = -1.0, 1.0
    needs = ("model",)
    source = "ancona2018towards"
    by: str = "pixels"
    draws: int = 100
    shares: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 0.8)

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        check_draws(self.draws, 3)
        given = self.shares if isinstance(self.shares, Sequence) else (self.shares,)
        if not given or not all(0 < s < 1 for s in given):
            raise UsageError(f"shares={self.shares}: give shares of the units between 0 and 1, such as [0.01, 0.1]")
        object.__setattr__(self, "shares", tuple(float(s) for s in given))

    def score(self, view: View) -> Score:
        """The mean over the sizes; the parts are its values."""
        mine, column = values(view), view.evidence.column(view.place)
        parts, last = [], Undefined("")
        for share in self.shares:
            drawn = random_subsets(view.evidence, self.plan, self.draws, share)
            scores = drawn.scores[:, column]
            try:
                r = agreement(drawn.sums(mine), -scores, largest(scores))
            except Undefined as reason:
                last = reason.bare()
                continue
            parts.append(("correlation", share, r))
        if not parts:
            raise last.bare()
        return Score(sum(r for *_, r in parts) / len(parts), parts=tuple(parts))
