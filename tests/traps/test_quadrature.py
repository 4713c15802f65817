"""Trap: quadrature weights that do not sum to 1 (Captum's trapezoid; 20 nodes with both ends, divided by 20)."""

from __future__ import annotations

import pytest
import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from captum.attr._utils.approximation_methods import approximation_parameters
from torch import nn

from contract.families import explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.explain.gradient.integrated_gradients import IntegratedGradients, quadrature

CASE = Case(id="1", inputs={"x": torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(2))})


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).eval()


@pytest.mark.parametrize("rule", ["midpoint", "gauss_legendre", "trapezoid"])
@pytest.mark.parametrize("nodes", [2, 5, 20])
def test_weights_sum_to_one_and_a_linear_model_is_exact(rule: str, nodes: int) -> None:
    assert float(quadrature(rule, nodes)[1].sum()) == pytest.approx(1, abs=1e-12)
    p = Predictor(net(), inputs=["x"], task="classification", classes=["a", "b"])
    ((a,),) = explain(IntegratedGradients(n_steps=nodes, rule=rule), p, [CASE], [ClassScore(1)])  # type: ignore[arg-type]
    assert a.notes["completeness_error"] < 1e-5


def test_captum_still_does() -> None:
    steps, _ = approximation_parameters("riemann_trapezoid")
    assert sum(steps(20)) == pytest.approx(19 / 20)
    model, x = net(), CASE.inputs["x"][None]
    change = float((model(x) - model(torch.zeros_like(x)))[0, 1])
    theirs = CaptumIntegratedGradients(model).attribute(x, target=1, n_steps=20, method="riemann_trapezoid")
    assert float(theirs.sum()) == pytest.approx(19 / 20 * change, rel=1e-4)
