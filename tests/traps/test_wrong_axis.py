"""Trap: Agg²Exp's released code slices the batch for the class: maps of three classes with cosine 1.000."""

from __future__ import annotations

import pytest
import torch

from contract.families import FAMILIES, METHODS, explain
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.target import RegionScore

F = FAMILIES["volume_segmentation"]


REAL = [m for m in METHODS if EXPLAINERS[m].family != "control" and EXPLAINERS[m].targeted and F.runs(m)]


@pytest.mark.parametrize("method", REAL)
def test_classes_have_their_own_maps(method: str) -> None:
    targets = [RegionScore(k, region="image") for k in range(3)]
    for row in explain(method, F.predictor(), F.cases(2), targets):
        assert [a.target["index"] for a in row] == [0, 1, 2]
        flat = torch.stack([a.spatial("ct").flatten() for a in row])
        flat = flat - flat.mean(1, keepdim=True)  # what all places have in common says nothing of a class
        cosine = torch.nn.functional.cosine_similarity(flat[:, None], flat[None], dim=2)
        assert float((cosine - torch.eye(3)).abs().max()) < 0.999
