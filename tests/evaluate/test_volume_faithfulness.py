"""The example that asks whether gradient methods are more faithful than perturbation methods: its comparison is right."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest
import torch

from pages import ROOT
from pellucid.core.predictor import Predictor
from pellucid.data import load_dataset
from pellucid.data.synthetic import ORGANS


@pytest.fixture(scope="module")
def script():
    import sys

    sys.path.insert(0, str(ROOT / "examples"))
    try:
        yield importlib.import_module("volume_faithfulness")
    finally:
        sys.path.remove(str(ROOT / "examples"))
        sys.modules.pop("volume_faithfulness", None)


def made(script, better: float, metric: str = "deletion_auc") -> pd.DataFrame:
    """14 cases in which the gradient family is better by ``better``, of a metric where lower is better."""
    rng = np.random.default_rng(0)
    names = [*script.GRADIENT, *script.PERTURBATION, script.COARSE, "random", "edge"]
    return pd.DataFrame(
        {"case": f"c{i}", "method": m, "metric": metric,
         "value": rng.normal(0.5 - better * (m in script.GRADIENT), 0.05)}
        for i in range(14) for m in names
    )  # fmt: skip


@pytest.mark.parametrize(("better", "sign"), [(0.2, 1), (-0.2, -1)])
def test_a_difference_has_the_sign_of_the_better_family(script, better, sign) -> None:
    found = script.pairs(made(script, better))
    crossed = found[found["gradient"].isin(script.GRADIENT)]
    assert len(crossed) == 9
    assert (sign * crossed["difference"] > 0.1).all()
    assert (crossed["p"] < 0.05).all()
    assert ((crossed["low"] < crossed["difference"]) & (crossed["difference"] < crossed["high"])).all()
    family = found[found["gradient"] == "gradient family"].iloc[0]
    assert family["difference"] == pytest.approx(better, abs=0.03)
    assert sign * family["low" if sign > 0 else "high"] > 0.1


def test_where_there_is_none_none_is_found(script) -> None:
    found = script.pairs(made(script, 0.0))
    assert (found[found["gradient"].isin(script.GRADIENT)]["p"] > 0.05).all()


def test_maps_of_a_volume_are_measured_and_the_coarse_one_adds_up(script, monkeypatch) -> None:
    """An untrained network: the numbers mean nothing, but are there, for every method and metric."""
    monkeypatch.setitem(script.PERTURBATION["kernel_shap"], "segments", 8)
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.Tanh(), torch.nn.Conv3d(4, len(ORGANS), 3, padding=1)
    )
    p = Predictor(
        net.eval(), inputs=["ct"], task="segmentation", classes=list(ORGANS), normalise={"ct": (-300.0, 500.0)}
    )
    (case,) = load_dataset("synthetic_volume", n=1, size=24)
    k = int(p.labels(p.module((case.inputs["ct"][None] + 300) / 500)).flatten().mode().values)
    scores, costs = script.measured(p, case, [ORGANS[k]], steps=3)
    table = pd.DataFrame(scores)
    methods = {*script.GRADIENT, *script.PERTURBATION, script.COARSE, *script.CONTROLS}
    assert set(table["method"]) == methods == {c["method"] for c in costs}
    assert len(table) == 4 * len(methods)
    assert np.isfinite(table["value"]).all()
    from pellucid import RegionScore, explain

    a = explain(p, case, method="integrated_gradients", target=RegionScore(ORGANS[k]), n_steps=2)
    coarse = script.in_cubes(a, case)
    assert float(coarse.maps["ct"].sum()) == pytest.approx(float(a.maps["ct"].sum()), rel=1e-4)
    assert len(coarse.maps["ct"].unique()) <= 2 * script.CUBES
