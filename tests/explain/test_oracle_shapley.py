"""KernelSHAP beside Captum and SHAP: the same values where they are exact, nearer to them where all must sample."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from captum.attr import KernelShap as CaptumKernelShap
from captum.attr import ShapleyValues

from contract.families import explain
from game_models import ORGANS, Twists, predictor, study
from peers import peer
from pellucid.core.target import Score
from pellucid.explain.shapley.coalitions import leverage_pairs
from pellucid.explain.shapley.kernel_shap import KernelShap, shapley_fit

shap = peer("shap")


def ours(net, players: int, evaluations: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    pairs = leverage_pairs(players, evaluations // 2, torch.Generator().manual_seed(seed))
    ends = net(torch.stack([torch.ones(players), torch.zeros(players)]).double())
    phi, error = shapley_fit(pairs, net(torch.cat([pairs.sets, ~pairs.sets]).double()), ends[0] - ends[1])
    return phi, error


def shaps(net, players: int, evaluations: int, seed: int = 0) -> torch.Tensor:
    explainer = shap.KernelExplainer(lambda z: net(torch.as_tensor(z)).numpy(), np.zeros((1, players)))
    np.random.seed(seed)  # noqa: NPY002 - SHAP draws from it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = explainer.shap_values(np.ones((1, players)), nsamples=evaluations, l1_reg=False, silent=True)
    return torch.as_tensor(found[0])


def captums(net, players: int, evaluations: int, seed: int = 0, target: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    one, none = torch.ones(1, players).double(), torch.zeros(1, players).double()
    return CaptumKernelShap(lambda z: net(z)[:, target]).attribute(
        one, baselines=none, n_samples=evaluations, perturbations_per_eval=500
    )[0].double()


@pytest.mark.parametrize("players", [2, 5, 8, 10])
def test_shap_agrees_where_all_coalitions_are_asked(players: int) -> None:
    net = Twists(players).double()
    phi, error = ours(net, players, 2**players - 2)
    torch.testing.assert_close(phi, shaps(net, players, 2**players + 100), rtol=1e-8, atol=1e-8)
    assert float(error.max()) == 0


def test_shap_with_many_samples_lies_within_our_standard_error() -> None:
    net = Twists(60, seed=2).double()
    phi, error = ours(net, 60, 6 * 60)
    apart = (phi - shaps(net, 60, 30000)).abs() / error
    assert float(apart.max()) < 5
    assert 0.3 < float((apart**2).mean()) < 2.5


def test_captum_agrees_over_all_permutations_of_organs_and_a_column() -> None:
    """On a picture with organs and a table, through the whole chain; the sampled map is within its standard error."""
    case, p = study(columns=1), predictor(Twists(5), columns=1)
    ids = ORGANS.unique(return_inverse=True)[1]
    inputs = (case.inputs["image"][None], (case.inputs["table"] - 0.25)[None])
    theirs = ShapleyValues(lambda i, t: p.module(i, t)[:, 0]).attribute(
        inputs, baselines=(0.0, 0.0), feature_mask=(ids[None, None], torch.tensor([[4]]))
    )
    wanted = [float(theirs[0][0, 0][ids == i][0]) for i in range(4)] + [float(theirs[1])]
    ((exact, _),) = explain(KernelShap(groups="organs", samples=30, fill="zero"), p, [case], [Score(0), Score(1)])
    ((some, _),) = explain(KernelShap(groups="organs", samples=20, fill="zero"), p, [case], [Score(0), Score(1)])
    assert exact.notes["standard_error_max"] == 0 < some.notes["standard_error_max"]
    for a, tolerance in ((exact, 1e-5), (some, 5 * some.notes["standard_error_max"])):
        found = [float(a.maps["image"][ids == i].sum()) for i in range(4)] + a.maps["table"].tolist()
        assert found == pytest.approx(wanted, abs=tolerance)


@pytest.mark.parametrize(("players", "size", "each", "margin"), [(20, 1.5, 4, 0.7), (20, 1.5, 8, 0.7), (50, 4.0, 6, 0.85)])
def test_nearer_than_captum_and_shap_at_the_same_budget(players: int, size: float, each: int, margin: float) -> None:
    """Root mean square error over eight seeds; exact values by enumeration, or from a sample 100 times as large."""
    net = Twists(players, seed=1, size=size).double()
    exact = ours(net, players, min(2**players - 2, 1000 * players))[0][:, 0]
    budget = each * players

    def error(estimates: list[torch.Tensor]) -> float:
        return float(torch.stack([e - exact for e in estimates]).square().mean().sqrt())

    here = error([ours(net, players, budget, seed)[0][:, 0] for seed in range(8)])
    captum = error([captums(net, players, budget, seed) for seed in range(8)])
    there = error([shaps(net, players, budget, seed)[:, 0] for seed in range(8)])
    assert here < margin * captum
    assert here < there
