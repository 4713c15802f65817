"""What the methods share that take a case apart into features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pellucid.core.explainer import Explainer
from pellucid.core.fill import as_fill
from pellucid.core.region import COMPACTNESS, SEGMENTS, check_split
from pellucid.engine.game import Game
from pellucid.engine.problem import Problem


@dataclass(frozen=True, kw_only=True)
class OfFeatures(Explainer):
    """Parts of the pictures and columns of the tables come and go; the model is asked what it says then.

    Attributes:
        groups: ``"superpixels"``, ``"cubes"``, ``"blocks"``, ``"modality"`` or a region of the case; of a segmentation
            also ``"predicted"``, the classes that it predicts, or ``"predicted_pieces"``, their connected pieces, at
            one forward more. A table's columns are features singly.
        segments: about how many superpixels or cubes of each picture; pieces with a feature of their own, at most.
        compactness: of superpixels.
        side: of a block in pixels; an eighth of the longest axis by default.
        fill: what stands in for a feature that is absent (a Fill); a table's column has its training mean. With
            ``"background"`` that feature of each of R background cases, columns too, at R forwards in place of one.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    resolution = "feature"
    groups: str = "superpixels"
    segments: int = SEGMENTS
    compactness: float = COMPACTNESS
    side: int | None = None
    fill: Any = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "fill", as_fill(self.fill))
        check_split(side=self.side, segments=self.segments, compactness=self.compactness)

    def game(self, problem: Problem) -> Game:
        """The game over the features of the problem's cases."""
        return Game.of(
            problem, by=self.groups, fill=self.fill, side=self.side, segments=self.segments,
            compactness=self.compactness,
        )  # fmt: skip
