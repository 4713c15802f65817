"""Feature ablation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pellucid.core.explainer import Result
from pellucid.engine.problem import Problem
from pellucid.explain.features import OfFeatures


@dataclass(frozen=True, kw_only=True)
class FeatureAblation(OfFeatures):
    """``f(x) − f(x without feature g)``, written on every pixel of ``g``.

    Features are parts of the pictures and single columns, whole modalities, or the labels of a region of the case.
    Notes: ``features``.

    Budget: one forward per feature and one more, whatever the number of targets. Source: zeiler2014visualizing.

    Attributes:
        groups: as for all methods of features, but ``"blocks"`` by default.
    """

    name = "feature_ablation"
    family = "perturbation"
    source = "zeiler2014visualizing"
    passes = "G + 1 F"
    groups: str = "blocks"

    def attribute(self, problem: Problem) -> Result:
        """Remove each feature once."""
        game = self.game(problem)
        counts = [game.players(b) for b in range(len(problem))]
        without = game.value([~torch.eye(n, dtype=torch.bool) for n in counts])
        clean = game.full.cpu().double()
        drops = [(score - answers).T for score, answers in zip(clean, without)]
        features = torch.ones(clean.shape, dtype=torch.int64) * torch.tensor(counts)[:, None]
        return Result(game.paint(drops), notes={"features": features})
