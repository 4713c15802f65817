"""Trap: LIME and KernelSHAP judged, or trusted, at a handful of samples: the map is chance, and looks like a map."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from captum.attr import KernelShap as CaptumKernelShap
from captum.attr import Lime as CaptumLime

from contract.families import FAMILIES, explain
from game_models import Twists
from pellucid.errors import UsageError
from pellucid.explain.shapley.coalitions import leverage_pairs
from pellucid.explain.shapley.kernel_shap import shapley_fit

PLAYERS = 50
NET = Twists(PLAYERS, seed=1).double()
ONE, NONE = torch.ones(1, PLAYERS).double(), torch.zeros(1, PLAYERS).double()


def ours(evaluations: int, seed: int) -> torch.Tensor:
    pairs = leverage_pairs(PLAYERS, evaluations // 2, torch.Generator().manual_seed(seed))
    return shapley_fit(pairs, NET(torch.cat([pairs.sets, ~pairs.sets]).double()), (NET(ONE) - NET(NONE))[0])[0][:, 0]


def agreement(found: torch.Tensor) -> float:
    return float(np.corrcoef(found.numpy(), ours(20000, 99).numpy())[0, 1])


def test_captums_default_gives_half_a_correlation_without_a_word() -> None:
    """25 samples for 50 features, as the peer has it when nothing is said; no warning, no error bar."""
    assert inspect.signature(CaptumKernelShap.attribute).parameters["n_samples"].default == 25
    found = []
    for seed in range(5):
        torch.manual_seed(seed)
        found.append(agreement(CaptumKernelShap(lambda z: NET(z)[:, 0]).attribute(ONE, baselines=NONE)[0]))
    assert np.mean(found) < 0.7
    assert inspect.signature(CaptumLime.attribute).parameters["n_samples"].default == 25


def test_our_default_tells_the_features_apart() -> None:
    assert min(agreement(ours(6 * PLAYERS, seed)) for seed in range(5)) > 0.98


@pytest.mark.parametrize("method", ["kernel_shap", "lime"])
def test_ten_samples_are_refused_and_forced_ones_flagged(method: str) -> None:
    f = FAMILIES["picture"]
    with pytest.raises(UsageError, match=r"samples=10 is too few for \w+ over \d+ features: it needs \d+ or more"):
        explain((method, {"samples": 10}), f.predictor(), f.cases(1), f.targets)
    ((a, _),) = explain((method, {"samples": 10, "force": True}), f.predictor(), f.cases(1), f.targets)
    assert "too_few_samples" in a.flags
    ((b, _),) = explain(method, f.predictor(), f.cases(1), f.targets)
    assert "too_few_samples" not in b.flags
    assert b.notes["evaluations"] == 6 * b.notes["features"]


@pytest.mark.parametrize("method", ["kernel_shap", "lime"])
def test_every_map_says_how_much_of_it_is_chance(method: str) -> None:
    f = FAMILIES["picture_and_table"]
    for row in explain(method, f.predictor(), f.cases(), f.targets):
        for a in row:
            assert 0 < a.notes["standard_error"] <= a.notes["standard_error_max"]
            assert 0 < a.notes["relative_error"] < 1
