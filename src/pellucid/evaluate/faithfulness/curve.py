"""What all metrics of one deletion and insertion curve share: how the picture is taken away, and on which scale."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from pellucid.core.fill import as_fill
from pellucid.core.metric import Metric, Score
from pellucid.core.region import SEGMENTS, WAYS, check_split
from pellucid.evaluate.faithfulness.scale import check
from pellucid.evaluate.shared.curves import Curves, Scale
from pellucid.evaluate.shared.plan import PIXELS, Plan
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View
from pellucid.types import Direction


@dataclass(frozen=True, kw_only=True)
class CurveMetric(Metric):
    """A reduction of one pair of curves; those with the same plan read the same passes.

    Attributes:
        on: ``"auto"``, ``"probability"`` or ``"normalised"`` (:meth:`Curves.on`).
        by: what is taken away at a time: ``"pixels"``, ``"blocks"``, ``"cubes"``, ``"superpixels"``,
            ``"supervoxels"``, or a region of the case, whose labels are the parts.
        side: of a block, in pixels; an eighth of the longest axis if None.
        segments: about how many superpixels or cubes.
        fill: what stands in for what is taken away (a kind, a number in the image's units, a mapping of a Fill's
            fields); that of the evaluation if None.
        steps: T of the curve, at most one for each part; that of the evaluation if None.
    """

    question = "faithfulness"
    direction: ClassVar[Direction] = "higher"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    needs = ("model",)
    on: Scale = "auto"
    by: str = PIXELS
    side: int | None = None
    segments: int = SEGMENTS
    fill: Any = None
    steps: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        check(self.on)
        check_split(side=self.side, segments=self.segments, compactness=1.0)
        _ = self.plan

    @property
    def plan(self) -> Plan:
        """How the picture is taken away."""
        fill = None if self.fill is None else as_fill(self.fill)
        return Plan(by=self.by, side=self.side, segments=self.segments, fill=fill, steps=self.steps)

    def score(self, view: View) -> Score:
        """The number that the curves are reduced to."""
        if self.by not in (PIXELS, *WAYS, *view.case.regions):
            raise Undefined(
                f"the case has no region {self.by!r}, and it is no way to split a picture ({PIXELS}, {', '.join(WAYS)})"
            )
        return self.reduce(view.ranked(self.plan))

    @abstractmethod
    def reduce(self, curves: Curves) -> Score:
        """The metric of one map's curves."""
