"""What the metrics of a picture seen through its map share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pellucid.core.fill import Fill, as_fill
from pellucid.core.metric import Metric
from pellucid.evaluate.faithfulness.scale import check
from pellucid.evaluate.shared.curves import Scale
from pellucid.evaluate.shared.soften import Seen, seen
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View
from pellucid.types import Direction


@dataclass(frozen=True, kw_only=True)
class SoftMetric(Metric):
    """A metric of ``x ∘ Â + fill ∘ (1 − Â)``; all with the same fill read the same passes.

    Attributes:
        on: ``"auto"``, ``"probability"`` or ``"normalised"`` (:meth:`Curves.on`).
        fill: what stands in for what the map masks (a kind, a number in the image's units, a mapping of a Fill's
            fields); that of the evaluation if None.
    """

    question = "faithfulness"
    direction: ClassVar[Direction] = "higher"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    needs: ClassVar[tuple[str, ...]] = ("model",)
    on: Scale = "auto"
    fill: Any = None

    def __post_init__(self) -> None:
        """Check the options."""
        check(self.on)
        _ = self.filler

    @property
    def filler(self) -> Fill | None:
        """The fill, None for that of the evaluation."""
        return None if self.fill is None else as_fill(self.fill)

    def seen(self, view: View) -> Seen:
        """The picture seen through the map."""
        found = seen(view.evidence, self.filler)[view.place]
        if isinstance(found, Undefined):
            raise found.bare()
        return found

    def drop(self, view: View) -> float:
        """``max(0, s(x) − s(masked)) / s(x)``, in [0, 1]."""
        whole, masked, _ = self.seen(view).curve.on(self.on)[0].tolist()
        if not whole > 0:
            raise Undefined("the model gives the explained class no probability, so that none can be lost")
        return max(0.0, whole - masked) / whole


def harmonic_mean(parts: Sequence[float]) -> float:
    """Of numbers in [0, 1]; 0 where one of them is 0."""
    return len(parts) / sum(1 / p for p in parts) if all(p > 0 for p in parts) else 0.0
