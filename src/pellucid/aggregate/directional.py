"""Signed sums over regions by forward mode: one directional derivative gives a region's row for all targets.

``Σ_r ∂y_t/∂x = ⟨∂y_t/∂x, 1_r⟩`` and ``Σ_r x·∂y_t/∂x = ⟨∂y_t/∂x, x·1_r⟩``: K targets over R regions take K vjps or R
jvps, whichever is less. Forward mode stores no graph and no map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.aggregate.sums import RegionSums
from pellucid.aggregate.targets import LabelTarget
from pellucid.core.explainer import Explainer
from pellucid.engine.problem import Problem

Measures = dict[int, dict[str, dict[str, float]]]  # target, region, measure


def signed_by_jvp(
    problem: Problem, explainer: Explainer, targets: Sequence[LabelTarget], sums: Sequence[RegionSums], *, way: str
) -> list[Measures] | None:
    """``signed_sum``, ``signed_mean`` and ``share`` of every target and region, one table per label map.

    None where the way round by gradients is asked for, or takes fewer passes.
    """
    direction = explainer.direction(problem)
    if direction is None or way == "reverse":
        return None
    wanted = [sorted({p for parts in s.labels.regions.values() for p in parts}) for s in sums]
    if way == "auto" and sum(map(len, wanted)) >= sum(t.voxels > 0 for t in targets):
        return None
    problem.objective.bound = [[t.bound() for t in targets]]
    found: list[Measures] = []
    for s, parts in zip(sums, wanted):
        totals = torch.full((len(targets), s.labels.count), math.nan, dtype=torch.float64)
        for p in parts:
            inside = s.parts == p
            tangents = {n: _within(direction[n], inside) for n in problem.images}
            totals[:, p] = problem.engine.jvp(problem.inputs, tangents, problem.objective).cpu().double()
        found.append({t: _measures(s, totals[t]) for t in range(len(targets))})
    return found


def _within(direction: Tensor, inside: Tensor) -> Tensor:
    return direction * inside[None, None].to(direction)


def _measures(sums: RegionSums, totals: Tensor) -> dict[str, dict[str, float]]:
    volume = float(sums.voxels.sum())
    found = {}
    for region, parts in sums.labels.regions.items():
        voxels = float(sums.voxels[list(parts)].sum())
        total = float(totals[list(parts)].sum()) if voxels else math.nan
        mean = total / voxels if voxels else math.nan
        found[region] = {"signed_sum": total, "signed_mean": mean, "share": voxels / volume}
    return found
