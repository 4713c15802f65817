"""Continuity: the strongest variation of the map as the picture is shifted.

``max over shifts of (‖A(x) − A(x')‖₁ / ‖A(x)‖₁) / ‖x − x'‖₂``. ``x'`` are copies whose pictures are shifted together
along one axis, by default the last, in ``steps`` steps each way up to ``shift`` of its side; what comes in from outside
is the fill; tables stay, and so do class and region. Distances are in units of each picture's range, and the map is
relative to its own size, so that studies and methods compare. At least 0, lower is better. Source:
montavon2018methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError
from pellucid.evaluate.maths import vector
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


def continuity(clean: Tensor, others: Sequence[Tensor], distances: Sequence[float]) -> float:
    """The largest relative change (sums of magnitudes) of a map, per distance of the input.

    Raises:
        Undefined: the map is zero, or no copy differs from the picture.
    """
    top = clean.abs().max()
    if not top > 0:
        raise Undefined("the map is zero everywhere, so no change is relative to it")
    size = float((clean / top).abs().sum())
    found = [
        float(((other - clean) / top).abs().sum()) / size / d
        for other, d in zip(others, distances, strict=True) if d > 0
    ]  # fmt: skip
    if not found:
        raise Undefined("the picture is the same however it is shifted")
    return max(found)


@dataclass(frozen=True, kw_only=True)
class Continuity(Metric):
    """Largest relative change of the map per change of the picture, as it is shifted.

    Attributes:
        shift: the largest, as a share of the side.
        steps: shifts each way; the maps are made ``2 · steps`` times.
        axis: −1 the last spatial axis, −2 the one before, −3 the first of a volume.
    """

    name = "continuity"
    question = "stability"
    direction = "lower"
    low = 0.0
    needs = ("explainer",)
    source = "montavon2018methods"
    shift: float = 0.1
    steps: int = 2
    axis: int = -1

    def __post_init__(self) -> None:
        """Check the options."""
        if not 0 < self.shift <= 1:
            raise UsageError(f"shift={self.shift}: give a share of the side, above 0 and up to 1")
        if self.steps < 1:
            raise UsageError(f"steps={self.steps}: give 1 or more shifts each way")
        if self.axis not in (-1, -2, -3):
            raise UsageError(f"axis={self.axis}: give -1 (the last spatial axis), -2 or -3")

    def score(self, view: View) -> Score:
        """The largest quotient over the shifts."""
        clean = view.vector
        made, distances = view.evidence.shifted(view.place, share=self.shift, steps=self.steps, axis=self.axis)
        return Score(continuity(clean, [vector(a) for a in made], distances))
