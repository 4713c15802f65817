"""Trap: the size of MONAI's SmoothGrad falls with 1/√n."""

from __future__ import annotations

import pytest
import torch
from monai.visualize import SmoothGrad as MonaiSmoothGrad

from contract.families import FAMILIES, explain
from pellucid.explain.gradient.smoothgrad import SmoothGrad
from pellucid.explain.shapley.gradient_shap import GradientShap

F = FAMILIES["picture"]


@pytest.mark.parametrize("make", [SmoothGrad, GradientShap])
def test_a_mean_is_a_mean(make) -> None:
    sizes = []
    for n in (8, 128):
        ((a, _),) = explain(make(samples=n, noise=1e-3), F.predictor(), F.cases(1), F.targets)
        sizes.append(float(a.maps["x"].abs().mean()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def test_monai_still_does() -> None:
    torch.manual_seed(0)
    sizes = []
    for n in (8, 128):
        smooth = MonaiSmoothGrad(F.module(), stdev_spread=1e-3, n_samples=n, verbose=False)
        sizes.append(float(smooth(F.cases(1)[0].inputs["x"][None].clone(), index=0).abs().mean()))
    assert sizes[0] / sizes[1] == pytest.approx(4, rel=0.1)
