"""Metrics on volumes: targets of several organs, windows, anisotropic voxels, subsets that all methods share."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from metric_worlds import attribution, of
from pellucid.api import evidence_of, explain_many
from pellucid.core.case import Case
from pellucid.core.metric import METRICS
from pellucid.core.predictor import Predictor
from pellucid.core.target import RegionScore
from pellucid.core.windows import windows
from pellucid.engine import Engine
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.run import as_metric

SHAPE, ORGANS = (4, 6, 6), 3
METHODS = ["saliency", "input_x_gradient", {"feature_ablation": {"groups": "cubes", "segments": 8}}, "edge"]
# With windows noise is drawn plane by plane, so that these have other numbers; and this one looks inside the network.
NOISY = {
    "avg_sensitivity", "max_sensitivity", "local_lipschitz", "monotonicity_correlation", "relative_input_stability",
    "relative_output_stability", "smooth_mprt", "stability_pearson", "stability_spearman", "stability_ssim",
    "infidelity", "repeatability", "continuity", "road", "arcc",
}  # fmt: skip
INSIDE = {"relative_representation_stability"}
SLOW = {"mprt", "smooth_mprt", "efficient_mprt"}  # re-explain models layer by layer; windows are the explainer's there


class Voxels(nn.Module):
    """Every voxel by itself, so that windows which do not overlap change nothing."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.body = nn.Sequential(nn.Conv3d(1, 6, 1), nn.Tanh(), nn.Conv3d(6, ORGANS, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def predictor(*, cut: bool) -> Predictor:
    return Predictor(
        Voxels().eval(), inputs=["ct"], task="segmentation", classes=[f"o{i}" for i in range(ORGANS)],
        windows=windows((4, 3, 6), overlap=0) if cut else None,
    )  # fmt: skip


def case() -> Case:
    g = torch.Generator().manual_seed(0)
    lesion = torch.zeros(SHAPE, dtype=torch.bool)
    lesion[1:3, 1:4, 2:4] = True
    parts = torch.arange(4 * 36).view(SHAPE) // 36
    return Case(
        id="v", inputs={"ct": torch.randn(1, *SHAPE, generator=g)}, regions={"lesion": lesion, "parts": parts},
        truth=torch.randint(0, ORGANS, SHAPE, generator=g), spacing=(5.0, 1.0, 1.0),
    )  # fmt: skip


@cache
def evidence(*, cut: bool) -> Evidence:
    """Of five methods and two organs."""
    p, targets = predictor(cut=cut), [RegionScore(1, region="image"), RegionScore(2, region="truth", reduce="mean")]
    return evidence_of(Engine(p), case(), explain_many(p, [case()], methods=METHODS, targets=targets), steps=4)


@pytest.mark.parametrize("name", [n for n, c in METRICS.items() if c.question != "cost" and n not in SLOW])
def test_every_metric_takes_organs_of_a_volume_and_windows_change_nothing(name: str) -> None:
    for place in (0, 3, 5):
        whole, cut = (evidence(cut=c).view(place).scores([as_metric(name)]) for c in (False, True))
        assert whole.keys() == cut.keys()
        for label, score in whole.items():
            other = cut[label]
            assert math.isfinite(score.value) or score.reason
            if name in INSIDE:
                assert "the model runs in windows" in other.reason
            elif name in NOISY:
                assert math.isfinite(other.value) == math.isfinite(score.value)
            else:
                assert other.value == pytest.approx(score.value, rel=1e-3, abs=2e-3, nan_ok=True)


def test_subsets_have_as_many_voxels_as_asked_and_are_the_same_for_every_method() -> None:
    """Agg²Exp: 224² voxels a subset and 100 subsets, which is the default's rule for a volume of 224³."""
    seen = evidence(cut=False)
    asked = {"faithfulness_correlation": {"size": 20, "draws": 100}}
    before = seen.engine.cost.forwards
    first = seen.view(0).scores([as_metric(asked)])["faithfulness_correlation"].value
    assert seen.engine.cost.forwards - before == 100
    before = seen.engine.cost.forwards
    for place in range(1, len(seen.maps)):
        seen.view(place).scores([as_metric(asked)])
    assert seen.engine.cost.forwards == before, "all methods and both organs read the same passes"
    alone = evidence_of(Engine(seen.engine.predictor), case(), seen.maps[:1], steps=4)
    assert alone.view(0).scores([as_metric(asked)])["faithfulness_correlation"].value == pytest.approx(first, abs=1e-6)


def test_subsets_share_nothing_with_the_map() -> None:
    """Exact for a model that is linear in the voxels, whatever the units and the target's region."""
    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x, 2 * x, -x], 1)

    p = Predictor(Linear().eval(), inputs=["ct"], task="segmentation", classes=["a", "b", "c"])
    (a,) = explain_many(
        p, [case()], methods=[{"integrated_gradients": {"baseline": "mean", "n_steps": 1}}],
        targets=[RegionScore(1, region="lesion")],
    )  # fmt: skip
    (random,) = explain_many(p, [case()], methods=["random"], targets=[RegionScore(1, region="lesion")])
    found = evidence_of(Engine(p), case(), [a, random], fill="mean")
    values = [found.view(i).scores([as_metric("faithfulness_correlation")])["faithfulness_correlation"].value for i in (0, 1)]
    assert values[0] == pytest.approx(1, abs=1e-5)
    assert abs(values[1]) < 0.35  # 100 subsets: a standard deviation of 0.1


def test_a_tolerance_in_mm_follows_the_spacing() -> None:
    """The maximum lies two slices, 10 mm, beside the lesion; in the plane as many voxels are 2 mm."""
    one = case()
    p = predictor(cut=False)
    for shift, mm in (((-1, 0, 0), 5.0), ((0, 2, 0), 2.0)):
        m = torch.zeros(SHAPE)
        edge = torch.tensor([1, 3, 2])
        m[tuple((edge + torch.tensor(shift)).tolist())] = 1
        a = attribution(one, {"ct": m[None]}, index=1, kind="region")
        for tolerance, hit in ((mm - 0.5, 0.0), (mm, 1.0)):
            asked = {"pointing_game": {"tolerance_mm": tolerance}}
            assert of(p, one, [a]).view(0).scores([as_metric(asked)])["pointing_game"].value == hit


@pytest.mark.parametrize(("metric", "finite"), [("seconds", True), ("evaluations", True), ("peak_memory", False)])
def test_what_a_map_took_and_that_a_processors_memory_is_not_known(metric: str, finite: bool) -> None:
    (score,) = evidence(cut=True).view(0).scores([as_metric(metric)]).values()
    assert math.isfinite(score.value) == finite
    assert finite or "cannot be told from other work" in score.reason
