"""KernelSHAP on volumes: cubes, the model's own segments, all classes from the same passes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from contract.families import FAMILIES, explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.region import cubes, partition
from pellucid.core.target import RegionScore
from pellucid.core.windows import windows
from pellucid.engine.predicted import pieces
from pellucid.errors import UsageError
from pellucid.explain.perturbation.feature_ablation import FeatureAblation
from pellucid.explain.shapley.kernel_shap import KernelShap

SHAPE = (12, 10, 8)


class Bands(nn.Module):
    """``z_k(v) = a_k x(v) + b_k mean(x)``: each class sees its voxels, and the whole volume besides."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.linspace(1, 2, classes))
        self.b = nn.Parameter(torch.linspace(-1, 3, classes))
        self.c = nn.Parameter(-torch.linspace(0, 1, classes) ** 2)
        self.calls = [0]

    def forward(self, x: Tensor) -> Tensor:
        self.calls[0] += len(x)
        view = (1, -1, 1, 1, 1)
        return x * self.a.view(view) + x.mean((2, 3, 4), keepdim=True) * self.b.view(view) + self.c.view(view)


def world(classes: int = 8, **options: object) -> tuple[Predictor, Case]:
    p = Predictor(
        Bands(classes).eval(), inputs=["ct"], task="segmentation", classes=[f"k{i}" for i in range(classes)], **options
    )  # type: ignore[arg-type]
    x = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return p, Case(id="v", inputs={"ct": x}, spacing=(2.0, 1.0, 1.0))


def test_classes_come_from_the_same_passes() -> None:
    """The trap loop_over_targets: 200 samples cost 200 forwards for two classes as for eight."""
    costs = {}
    for count in (2, 8):
        p, case = world()
        targets = [RegionScore(k, region="image") for k in range(count)]
        method = KernelShap(groups="cubes", segments=48, samples=200)
        (row,) = explain(method, p, [case], targets)
        costs[count] = {a.cost.forwards for a in row}
        assert len(row) == count
        assert float((row[0].maps["ct"] - row[1].maps["ct"]).abs().max()) > 1e-4
    assert costs[2] == costs[8] == {202}


@pytest.mark.parametrize("by", ["predicted", "predicted_pieces"])
def test_the_models_own_segments_are_the_features(by: str) -> None:
    p, case = world(classes=3)
    with torch.no_grad():
        labels = p.labels(p.module(case.inputs["ct"][None]))[0]
    method = KernelShap(groups=by, segments=6, samples=200)
    (row,) = explain(method, p, [case], [RegionScore(k, region="image") for k in range(3)])
    wanted = labels if by == "predicted" else pieces(labels, 6)
    for a in row:
        assert a.notes["features"] == len(wanted.unique()) >= 2
        assert a.notes["standard_error_max"] == 0, "few segments are enumerated"
        assert a.cost.forwards == 3 + a.notes["evaluations"], "one pass more for the prediction"
        assert "incomplete" not in a.flags
        for i in wanted.unique():
            assert len(a.maps["ct"][..., wanted == i].unique()) == 1
    # linear in the picture: a segment's value is its own part of the score
    x = case.inputs["ct"][0].double() - case.inputs["ct"].double().mean()
    a_k, b_k = p.module.a[1].item(), p.module.b[1].item()
    for i in wanted.unique():
        part = (a_k + b_k) * x[wanted == i].sum()
        assert float(row[1].maps["ct"][..., wanted == i].double().sum()) == pytest.approx(float(part), rel=1e-4, abs=1e-3)


def test_pieces_touch_by_a_face_and_small_ones_of_a_class_share_a_label() -> None:
    labels = torch.tensor([[1, 1, 0, 2], [1, 0, 0, 2], [0, 0, 1, 0], [2, 0, 0, 0]])
    every = pieces(labels, 100)
    assert len(every.unique()) == 5  # two of class 1, two of class 2, the background
    few = pieces(labels, 2)
    assert few.unique().tolist() == list(range(4))  # the background, the larger 1, the smaller 1, both of 2
    assert few[2, 2] != few[0, 0]
    assert few[0, 3] == few[3, 0]


def test_a_class_has_the_prediction_of_the_model_not_a_region_of_that_name() -> None:
    p, case = world(classes=3)
    named = case.replace(regions={"predicted": torch.zeros(SHAPE, dtype=torch.int64)})
    ((a,),) = explain(KernelShap(groups="predicted"), p, [named], [RegionScore(1, region="image")])
    assert a.notes["features"] > 1


def test_a_classification_predicts_no_segments() -> None:
    f = FAMILIES["volume"]
    with pytest.raises(UsageError, match="groups='predicted' takes the organs that a segmentation predicts; this model"):
        explain(KernelShap(groups="predicted"), f.predictor(), f.cases(1), f.targets)


def test_512_cubes_with_1000_samples_are_refused_and_forced_ones_say_what_they_are() -> None:
    """Agg²Exp's own numbers: complementary pairs of coalitions, 500 of them, cannot tell 512 cubes apart."""
    p, _ = world(classes=3)
    case = Case(id="v", inputs={"ct": torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))})
    assert len(partition(case, ("ct",), "cubes", segments=512)) == 512
    options = {"groups": "cubes", "segments": 512, "samples": 1000, "fill": "zero"}
    sentence = "case v: samples=1000 is too few for kernel_shap over 512 features: it needs 2048 or more"
    with pytest.raises(UsageError, match=sentence + r" \(3072 by default\).*force=True"):
        explain(KernelShap(**options), p, [case], [RegionScore(1, region="image")])
    ((a,),) = explain(KernelShap(**options, force=True), p, [case], [RegionScore(1, region="image")])
    assert a.cost.forwards == 1002
    assert {"too_few_samples", "uncertain"} <= set(a.flags)
    assert math.isinf(a.notes["standard_error"])  # 500 pairs and the sum leave some of the 512 values open
    assert float(a.maps["ct"].double().sum()) == pytest.approx(a.notes["expected"], rel=1e-4)


def test_600_cubes_of_an_anisotropic_volume_each_have_an_id() -> None:
    """The trap id_collision, of cubes: the seed numbers them modulo 512."""
    ids = cubes((30, 20, 24), 600, (1.0, 2.0, 1.5))
    found = ids.unique()
    assert found.tolist() == list(range(len(found))) and len(found) > 512
    for i in (0, 511, 512, len(found) - 1):  # a cube is one box
        where = (ids == i).nonzero()
        low, high = where.amin(0), where.amax(0) + 1
        assert int((high - low).prod()) == len(where)


@pytest.mark.parametrize("groups", ["cubes", "predicted"])
def test_in_windows_the_values_are_those_of_the_whole(groups: str) -> None:
    """A model that looks at single voxels alone: windows do not change it, and untouched ones are not run again."""
    whole, case = world(classes=3)
    with torch.no_grad():
        whole.module.b.zero_()
    cut = Predictor(
        whole.module, inputs=["ct"], task="segmentation", classes=whole.classes, windows=windows((6, 5, 8), overlap=0)
    )
    targets = [RegionScore(k, region="image") for k in range(3)]
    method = FeatureAblation(groups=groups, segments=24)
    (a,), (b,) = explain(method, whole, [case], targets), explain(method, cut, [case], targets)
    for one, two in zip(a, b):
        torch.testing.assert_close(one.maps["ct"], two.maps["ct"], rtol=1e-4, atol=1e-4)
    if groups == "cubes":
        n = a[0].notes["features"]
        assert b[0].cost.forwards < 4 * (n + 1)  # windows: four a volume
