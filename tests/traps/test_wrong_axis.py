"""Trap: Agg²Exp's released code slices the batch for the class: maps of three classes with cosine 1.000."""

from __future__ import annotations

import pytest
import torch

import pellucid as pc
from contract.families import FAMILIES, METHODS, explain
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.target import RegionScore
from pellucid.engine import Engine, Problem
from pellucid.engine.seeds import BoundSeeds
from small_unet import SmallUNet
from windowed import case, predictor

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


def test_three_classes_of_one_window_have_their_own_gradients() -> None:
    """In windows too, as maps and slab by slab, and they follow the channels of the head."""
    p, c = predictor(3, roi=(6, 6, 6)), case(8, 6, 6)
    targets = [RegionScore(k, region="image") for k in range(3)]
    problem = Problem(Engine(p), [c], targets)
    grads = problem.gradient.sums["x"][0]
    seeds = BoundSeeds(problem.objective.bound[0])
    slabs = list(problem.engine.slabs(problem.inputs, seeds))
    assert all(sorted(s.gradients) == [0, 1, 2] for s in slabs)
    streamed = torch.stack([torch.cat([s.gradients[t]["x"] for s in slabs], 1) for t in range(3)])
    torch.testing.assert_close(streamed, grads)
    flat = grads.flatten(1)
    cosine = torch.nn.functional.cosine_similarity(flat[:, None], flat[None], dim=2)
    assert float((cosine - torch.eye(3)).abs().max()) < 0.999
    head = p.module[3]
    head.weight.data, head.bias.data = head.weight.data[[2, 1, 0]], head.bias.data[[2, 1, 0]]
    turned = Problem(Engine(p), [c], targets).gradient.sums["x"][0]
    torch.testing.assert_close(turned, grads[[2, 1, 0]])


class Permuted(torch.nn.Module):
    """A network with its outputs in another order."""

    def __init__(self, inner: torch.nn.Module, order: list[int]) -> None:
        super().__init__()
        self.inner, self.order = inner, order

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)[:, self.order]


def test_the_table_of_a_permuted_head_has_permuted_rows() -> None:
    """Three classes, all of them in each of two windows; a table made along the batch would not notice the order."""
    names, order, windows = ["a", "b", "c"], [2, 0, 1], pc.windows((8, 8, 8), overlap=0.5)
    net = SmallUNet(3).eval()
    case = pc.Case(id="p", inputs={"ct": torch.rand(1, 12, 8, 8, generator=torch.Generator().manual_seed(0))})
    tables = []
    for module, classes in ((net, names), (Permuted(net, order).eval(), [names[k] for k in order])):
        p = pc.Predictor(module, inputs=["ct"], task="segmentation", classes=classes, windows=windows)
        rows = pc.aggregate(p, case, method="saliency").set_index(["target", "region", "measure"])["value"]
        tables.append(rows.sort_index())
    assert tables[0].index.equals(tables[1].index)
    torch.testing.assert_close(torch.tensor(tables[0].to_numpy()), torch.tensor(tables[1].to_numpy()), equal_nan=True)
    mass = tables[0].xs("mass", level="measure").unstack("region")
    assert mass.notna().to_numpy().all()
    for a, b in (("a", "b"), ("a", "c"), ("b", "c")):
        assert float((mass.loc[a] - mass.loc[b]).abs().max()) > 0.002  # one map for all would give 0
