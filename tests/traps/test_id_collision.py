"""Trap: cubes numbered modulo 512, superpixels numbered from 1 and drawn from 0: two features share a value."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from contract.families import explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.region import partition
from pellucid.core.target import Score
from pellucid.explain.perturbation.feature_ablation import FeatureAblation


def test_more_than_512_cubes_and_none_shares_its_id() -> None:
    case = Case(id="1", inputs={"ct": torch.zeros(1, 20, 20, 20)})
    groups = partition(case, ("ct",), "blocks", side=2)
    assert len(groups) == 1000
    assert groups.labels["ct"].unique().tolist() == list(range(1000))
    assert groups.labels["ct"].flatten().bincount().tolist() == [8] * 1000


class Weighted(nn.Module):
    """A linear model whose weight tells every cube from every other."""

    def forward(self, x: Tensor) -> Tensor:
        w = torch.arange(x[0].numel(), dtype=x.dtype, device=x.device).view(x.shape[1:])
        return (w * x).flatten(1).sum(1)


def test_each_value_comes_back_where_its_feature_is() -> None:
    x = torch.rand(1, 18, 18, 4, generator=torch.Generator().manual_seed(0)) + 0.5
    p = Predictor(Weighted().eval(), inputs=["ct"], task="regression")
    ((a,),) = explain(FeatureAblation(side=2, fill="zero"), p, [Case(id="1", inputs={"ct": x})], [Score()], precision="float64")
    assert a.notes["features"] == 162
    w = torch.arange(x.numel(), dtype=torch.float64).view(x.shape)
    wanted = (w * x)[0].view(9, 2, 9, 2, 2, 2).sum((1, 3, 5))
    wanted = wanted.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
    torch.testing.assert_close(a.maps["ct"].double(), wanted, rtol=1e-5, atol=1e-3)


def test_labels_of_a_region_may_have_gaps_zeros_and_negatives() -> None:
    labels = torch.tensor([[0, 0, -1], [512, 512, 1024], [1, 1, 1]])
    case = Case(id="1", inputs={"x": torch.rand(1, 3, 3)}, regions={"parts": labels})
    p = Predictor(Weighted().eval(), inputs=["x"], task="regression")
    ((a,),) = explain(FeatureAblation(groups="parts", fill="zero"), p, [case], [Score()])
    assert a.notes["features"] == 5
    w = torch.arange(9.0).view(3, 3)
    for value in labels.unique():
        where = labels == value
        torch.testing.assert_close(a.maps["x"][where], (w * case.inputs["x"][0])[where].sum().expand(int(where.sum())))


@pytest.mark.parametrize("by", ["superpixels", "cubes", "blocks"])
def test_ids_count_from_zero_through_all_inputs(by: str) -> None:
    g = torch.Generator().manual_seed(0)
    inputs = {"t1": torch.rand(1, 24, 24, generator=g), "ehr": torch.zeros(4), "t2": torch.rand(2, 24, 24, generator=g)}
    groups = partition(Case(id="1", inputs=inputs), ("t1", "ehr", "t2"), by, segments=30)
    ids = torch.cat([v.flatten() for v in groups.labels.values()]).unique()
    assert ids.tolist() == list(range(len(groups)))
    assert len(set(groups.names)) == len(groups)
    assert groups.labels["t1"].max() < groups.labels["ehr"].min()
    assert groups.labels["ehr"].max() < groups.labels["t2"].min()


@pytest.mark.parametrize("method", ["feature_ablation", "kernel_shap", "lime"])
def test_superpixels_get_back_the_value_that_is_theirs(method: str) -> None:
    """A linear model: what a superpixel is worth is known, and none gets its neighbour's value (DIANNA #898)."""
    x = torch.rand(1, 24, 24, generator=torch.Generator().manual_seed(1)) + 0.5
    case = Case(id="1", inputs={"x": x})
    p = Predictor(Weighted().eval(), inputs=["x"], task="regression")
    options = {"groups": "superpixels", "segments": 30, "fill": "zero"} | ({"alpha": 0.0} if method == "lime" else {})
    ((a,),) = explain((method, options), p, [case], [Score()], precision="float64")
    labels = partition(case, ("x",), "superpixels", segments=30).labels["x"]
    worth = torch.arange(576, dtype=torch.float64).view(24, 24) * x[0]
    assert a.notes["features"] == len(labels.unique()) > 10
    for i in labels.unique():
        found = a.maps["x"][labels == i].double()
        value = found.mean() if method == "feature_ablation" else found.sum()
        torch.testing.assert_close(value, worth[labels == i].sum(), rtol=1e-5, atol=1e-3)
