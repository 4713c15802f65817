"""Feature ablation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from pellucid.core.explainer import Explainer, Result
from pellucid.core.fill import as_fill
from pellucid.core.region import COMPACTNESS, SEGMENTS, check_split
from pellucid.engine.game import Game
from pellucid.engine.problem import Problem


@dataclass(frozen=True, kw_only=True)
class FeatureAblation(Explainer):
    """``f(x) − f(x without feature g)``, written on every pixel of ``g``.

    Features are parts of the pictures and single columns, whole modalities, or the labels of a region of the case.
    Notes: ``features``.

    Budget: one forward per feature and one more, whatever the number of targets. Source: zeiler2014visualizing.

    Attributes:
        groups: ``"blocks"``, ``"superpixels"``, ``"cubes"``, ``"modality"``, or the name of a region of the case.
        side: of a block in pixels; an eighth of the longest axis by default.
        segments: about how many superpixels or cubes of each picture.
        compactness: of superpixels.
        fill: what stands in for a feature that is absent (a Fill).
    """

    name = "feature_ablation"
    family = "perturbation"
    source = "zeiler2014visualizing"
    needs = ()
    resolution = "feature"
    passes = "G + 1 F"
    groups: str = "blocks"
    side: int | None = None
    segments: int = SEGMENTS
    compactness: float = COMPACTNESS
    fill: Any = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "fill", as_fill(self.fill))
        check_split(side=self.side, segments=self.segments, compactness=self.compactness)

    def attribute(self, problem: Problem) -> Result:
        """Remove each feature once."""
        game = Game.of(
            problem, by=self.groups, fill=self.fill, side=self.side, segments=self.segments,
            compactness=self.compactness,
        )  # fmt: skip
        counts = [game.players(b) for b in range(len(problem))]
        without = game.value([~torch.eye(n, dtype=torch.bool) for n in counts])
        clean = game.full.cpu().double()
        drops = [(score - answers).T for score, answers in zip(clean, without)]
        features = torch.ones(clean.shape, dtype=torch.int64) * torch.tensor(counts)[:, None]
        return Result(game.paint(drops), notes={"features": features})
