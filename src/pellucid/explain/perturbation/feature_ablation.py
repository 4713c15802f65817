"""Feature ablation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.core.fill import as_fill
from pellucid.core.region import partition
from pellucid.engine.problem import Problem


@dataclass(frozen=True, kw_only=True)
class FeatureAblation(Explainer):
    """``f(x) − f(x without feature g)``, written on every pixel of ``g``.

    Features are blocks of pixels and single columns, whole modalities, or the labels of a region of the case.

    Budget: one forward per feature and one more, whatever the number of targets. Source: zeiler2014visualizing.

    Attributes:
        groups: ``"blocks"``, ``"modality"``, or the name of a region of the case.
        side: of a block in pixels; an eighth of the longest axis by default.
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
    fill: Any = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "fill", as_fill(self.fill))
        require(self.side is None or self.side >= 1, f"side={self.side}: give 1 pixel or more")

    def attribute(self, problem: Problem) -> Result:
        """Remove each feature once."""
        parts = [partition(c, problem.predictor.inputs, self.groups, side=self.side) for c in problem.cases]
        device = problem.engine.device
        labels = {k: torch.stack([p.labels[k] for p in parts]).to(device) for k in problem.inputs}
        fill = problem.fill(self.fill)
        owner = torch.cat([torch.full((len(p),), b) for b, p in enumerate(parts)])
        feature = torch.cat([torch.arange(len(p)) for p in parts])

        def make(index: Tensor) -> dict[str, Tensor]:
            at, f = owner[index].to(device), feature[index].to(device)
            items = {}
            for name, x in problem.inputs.items():
                mask = labels[name][at] == f.view(-1, *[1] * (labels[name].ndim - 1))
                items[name] = torch.where(mask[:, None] if x.ndim > 2 else mask, fill[name][at], x[at])
            return items

        scores = problem.engine.scores(problem.stream(owner, make), problem.objective)
        drops = problem.scores[owner.to(device)] - scores
        values = drops.new_zeros((len(problem), max(map(len, parts)), drops.shape[1]))
        values[owner.to(device), feature.to(device)] = drops
        maps = {
            k: torch.stack([v[ids] for v, ids in zip(values, label)]).movedim(-1, 1) for k, label in labels.items()
        }
        return Result(maps, notes={"features": max(map(len, parts))})
