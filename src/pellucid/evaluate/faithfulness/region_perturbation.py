"""Region perturbation: the mean drop of the model's answer as blocks are taken away in the order of their relevance.

``AOPC = 1/(L+1) Σ_{k=0..L} (s(x) − s(x without its first k blocks))``, blocks ranked by their mean. In [−1, 1].
Most relevant first, a large drop is good; least relevant first, a small one is, and its sign is turned so that higher
is better in both orders. The original takes 9 × 9 blocks, one a step, and fills them with uniform noise: ``side=9,
fill="uniform"``. Source: samek2017evaluating.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pellucid.core.metric import Score
from pellucid.errors import UsageError, nearest
from pellucid.evaluate.faithfulness.aopc import aopc
from pellucid.evaluate.faithfulness.curve import CurveMetric
from pellucid.evaluate.shared.curves import Curves

ORDERS = ("morf", "lerf")


@dataclass(frozen=True, kw_only=True)
class RegionPerturbation(CurveMetric):
    """Mean drop of the model's answer while blocks are taken away, the most relevant first.

    The other options are those of :class:`CurveMetric`; ``by`` is ``"blocks"`` here.

    Attributes:
        order: ``"morf"``, or ``"lerf"``: minus the mean drop with the least relevant first.
    """

    name = "region_perturbation"
    low = -1.0
    source = "samek2017evaluating"
    by: str = "blocks"
    order: Literal["morf", "lerf"] = "morf"

    def __post_init__(self) -> None:
        """Check the options."""
        if self.order not in ORDERS:
            raise UsageError(f"order={self.order!r}: {nearest(str(self.order), ORDERS)}")
        super().__post_init__()

    def reduce(self, curves: Curves) -> Score:
        """The mean drop along the curve."""
        if self.order == "lerf":
            return Score(-aopc(curves.least_first(self.on)[0]))
        return Score(aopc(curves.on(self.on)[0]))
