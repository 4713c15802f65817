"""Trap: the predicted region recomputed on every perturbed copy: the target moves while it is explained."""

from __future__ import annotations

import pytest
import torch

from contract.families import FAMILIES, METHODS, explain, gap
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.target import RegionScore
from pellucid.engine import Engine, Problem

F = FAMILIES["segmentation"]
REAL = [m for m in METHODS if EXPLAINERS[m].family != "control" and F.runs(m)]


@pytest.mark.parametrize("method", REAL)
def test_the_predicted_region_is_that_of_the_clean_image(method: str) -> None:
    """Explaining the predicted region is explaining a mask that was drawn from the clean prediction."""
    predictor, cases = F.predictor(), F.cases()
    labels = [predictor.labels(out[None])[0] for out in Engine(predictor).outputs(cases)]
    named = [c.replace(regions={"was": m == 1}) for c, m in zip(cases, labels)]
    assert all(0 < int(c.region("was").sum()) < 256 for c in named)
    by_model = explain(method, predictor, cases, [RegionScore(1)])
    by_mask = explain(method, predictor, named, [RegionScore(1, region="was")])
    for (a,), (b,) in zip(by_model, by_mask):
        assert gap(a, b) < 1e-6


def test_it_moves_when_asked_to() -> None:
    fixed = explain("occlusion", F.predictor(), F.cases(), [RegionScore(1)])
    moved = explain("occlusion", F.predictor(), F.cases(), [RegionScore(1, refresh=True)])
    assert max(gap(a, b) for (a,), (b,) in zip(fixed, moved)) > 0.01
    assert moved[0][0].target["refresh"] is True


def test_no_copy_is_bound_before_the_clean_case() -> None:
    problem = Problem(Engine(F.predictor()), F.cases(), [RegionScore(1)])
    owner, _ = problem.copies(2)
    problem.stream(owner, lambda i: {"x": torch.zeros(len(i), 1, 16, 16)})
    assert problem.objective.ready
    assert problem.engine.cost.forwards == len(F.cases())
