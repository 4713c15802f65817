"""Sampled gradients: the gradients of single voxels, reduced, against the gradients themselves."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from contract.families import Family, explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, RegionScore, Target
from pellucid.core.windows import windows
from pellucid.errors import UsageError
from pellucid.explain.gradient.saliency import Saliency
from pellucid.explain.gradient.sampled_gradients import SampledGradients

SHAPE = (1, 6, 7, 5)
TARGET = RegionScore(1, region="organ")
SALIENCY = Saliency(keep_sign=True)


class Net(nn.Module):
    """Two convolutions with a bend between them: every voxel's gradient is another."""

    def __init__(self, axes: int = 3) -> None:
        super().__init__()
        conv = nn.Conv3d if axes == 3 else nn.Conv2d
        self.a, self.b = conv(1, 4, 3, padding=1), conv(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x)))


def world(**options: object) -> tuple[Predictor, Case]:
    torch.manual_seed(4)
    p = Predictor(Net().eval(), inputs=["ct"], task="segmentation", classes=["no", "a", "b"], **options)  # type: ignore[arg-type]
    organ = torch.zeros(SHAPE[1:], dtype=torch.bool)
    organ[1:5, 2:5, 1:4] = True  # 36 voxels
    return p, Case(id="v", inputs={"ct": torch.randn(SHAPE)}, regions={"organ": organ}, spacing=(3.0, 1.0, 1.0))


def literal(p: Predictor, case: Case, k: int = 1) -> Tensor:
    """``(36, 1, 6, 7, 5)``: the gradient of each voxel of the organ, in the order of the voxels."""
    x = case.inputs["ct"][None].double().requires_grad_()
    z = copy.deepcopy(p.module).double()(x)[0, k][case.region("organ")]
    return torch.stack([torch.autograd.grad(v, x, retain_graph=True)[0][0] for v in z])


def sampled(p: Predictor, case: Case, targets: tuple[Target, ...] = (TARGET,), seed: int = 0, **options: object):
    (row,) = explain(SampledGradients(**options), p, [case], targets, seed=seed, precision="float64")  # type: ignore[arg-type]
    return row if len(row) > 1 else row[0]


@pytest.mark.parametrize(("q", "keep_sign"), [(0.9, True), (0.5, False), (0.0, True), (1.0, False)])
def test_of_all_voxels_it_is_the_quantile_of_all_their_gradients(q: float, keep_sign: bool) -> None:
    p, case = world()
    a = sampled(p, case, samples=100, quantile=q, keep_sign=keep_sign)
    every = literal(p, case)
    wanted = torch.quantile(every if keep_sign else every.abs(), q, dim=0)
    torch.testing.assert_close(a.maps["ct"].double(), wanted, rtol=1e-5, atol=1e-6)
    assert a.notes["drawn"] == 36
    assert (a.cost.forwards, a.cost.backwards) == (2, 36)


def test_the_mean_of_all_voxels_is_the_gradient_of_the_regions_mean() -> None:
    p, case = world()
    a = sampled(p, case, samples=36, reduce="mean")
    ((b,),) = explain(SALIENCY, p, [case], [RegionScore(1, region="organ", reduce="mean")], precision="float64")
    torch.testing.assert_close(a.maps["ct"], b.maps["ct"], rtol=1e-5, atol=1e-7)


def test_drawn_voxels_are_different_ones_of_the_region() -> None:
    """Each voxel's gradient has a share of its own, so that the mean of the drawn ones says which they were."""
    p, case = world()
    every = literal(p, case).flatten(1)
    for seed in range(3):
        a = sampled(p, case, samples=10, reduce="mean", seed=seed)
        weights = torch.linalg.lstsq(every.T, a.maps["ct"].double().flatten()[:, None]).solution[:, 0]
        assert sorted(weights.round(decimals=3).tolist()) == [0.0] * 26 + [0.1] * 10


def test_groups_are_runs_of_the_region() -> None:
    p, case = world()
    a = sampled(p, case, samples=4, of="groups", quantile=0.75)
    runs = literal(p, case).view(4, 9, *SHAPE).mean(1)
    torch.testing.assert_close(a.maps["ct"].double(), torch.quantile(runs, 0.75, dim=0), rtol=1e-5, atol=1e-6)


def test_heavy_voxels_are_drawn_and_light_ones_not() -> None:
    """With the probabilities as weights, one voxel of almost all the weight is drawn first."""
    p, case = world()
    with torch.no_grad():
        logits = p.module(case.inputs["ct"][None])[0]
        bright = logits.softmax(0)[1].flatten()
    keep = torch.zeros_like(bright, dtype=torch.bool)
    keep[[int(bright.argmax()), int(bright.argmin())]] = True
    case = case.replace(regions={"organ": keep.view(SHAPE[1:])})
    target = RegionScore(1, region="organ", reduce="probability_weighted")
    every = literal(p, case)
    first = int(bright[keep].argmax())
    maps = [sampled(p, case, (target,), samples=1, seed=s).maps["ct"].double() for s in range(12)]
    heavy = sum(bool(torch.allclose(m, every[first], atol=1e-6)) for m in maps)
    share = float(bright.max() / (bright.max() + bright.min()))
    assert heavy >= 12 * share - 3
    assert all(torch.allclose(m, every[0], atol=1e-6) or torch.allclose(m, every[1], atol=1e-6) for m in maps)


def test_probabilities_have_their_own_gradients() -> None:
    p, case = world()
    a = sampled(p, case, (RegionScore(1, region="organ", on="probability"),), samples=40)
    x = case.inputs["ct"][None].double().requires_grad_()
    values = copy.deepcopy(p.module).double()(x).softmax(1)[0, 1][case.region("organ")]
    every = torch.stack([torch.autograd.grad(v, x, retain_graph=True)[0][0] for v in values])
    torch.testing.assert_close(a.maps["ct"].double(), torch.quantile(every, 0.9, dim=0), rtol=1e-5, atol=1e-6)


def test_two_classes_have_two_maps_from_the_same_voxels() -> None:
    p, case = world()
    one, two = sampled(p, case, (TARGET, RegionScore(2, region="organ")), samples=6)
    alone = sampled(p, case, (RegionScore(2, region="organ"),), samples=6)
    torch.testing.assert_close(two.maps["ct"], alone.maps["ct"])
    assert not torch.allclose(one.maps["ct"], two.maps["ct"])


@pytest.mark.parametrize(("of", "count"), [("voxels", 36), ("groups", 12)])
def test_in_windows_it_is_the_quantile_of_the_stitched_predictions_gradients(of: str, count: int) -> None:
    p, case = world(windows=windows((4, 4, 4), overlap=0.5, blend="gaussian"))
    a = sampled(p, case, samples=count, of=of)
    masks = torch.zeros(count, *SHAPE[1:], dtype=torch.bool)
    for mask, part in zip(masks, case.region("organ").flatten().nonzero()[:, 0].tensor_split(count)):
        mask.view(-1)[part] = True
    case = case.replace(regions={str(i): m for i, m in enumerate(masks)})
    targets = [RegionScore(1, region=str(i), reduce="mean") for i in range(count)]
    (row,) = explain(SALIENCY, p, [case], targets, precision="float64")
    wanted = torch.quantile(torch.stack([b.maps["ct"] for b in row]), 0.9, dim=0)
    torch.testing.assert_close(a.maps["ct"], wanted, rtol=1e-5, atol=1e-7)
    assert a.cost.forwards > 2  # windows


def test_an_empty_region_has_an_empty_map() -> None:
    p, case = world()
    case = case.replace(regions={"organ": torch.zeros(SHAPE[1:], dtype=torch.bool)})
    a = sampled(p, case)
    assert "empty_target" in a.flags
    assert float(a.maps["ct"].abs().max()) == 0 == a.notes["drawn"]


@pytest.mark.parametrize(
    "options", [{"samples": 0}, {"of": "cubes"}, {"reduce": "max"}, {"quantile": 1.5}, {"quantile": -0.1}]
)
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        SampledGradients(**options)  # type: ignore[arg-type]


def test_a_classification_has_no_voxels_to_draw() -> None:
    f = Family("picture", {"x": (1, 8, 8)}, "classification", 3, (ClassScore(0), ClassScore(1)))
    with pytest.raises(UsageError, match="draws voxels of a region, and a classification has none; use saliency"):
        explain("sampled_gradients", f.predictor(), f.cases(1), f.targets)
