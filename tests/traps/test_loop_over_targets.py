"""Trap: a perturbation method run again for every class, although each pass returns all of them."""

from __future__ import annotations

import pytest

from contract.families import FAMILIES, METHODS, explain, gap
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.target import ClassScore

F = FAMILIES["picture"]


@pytest.mark.parametrize("method", [m for m in METHODS if EXPLAINERS[m].targeted and "B" not in EXPLAINERS[m].passes and F.runs(m)])
def test_all_classes_come_from_the_same_passes(method: str) -> None:
    ((one,),) = explain(method, F.predictor(), F.cases(1), [ClassScore(1)])
    (many,) = explain(method, F.predictor(), F.cases(1), [ClassScore(k) for k in range(3)])
    assert {a.cost.forwards for a in many} == {one.cost.forwards}
    assert gap(many[1], one) < 1e-5


def test_gradients_of_all_classes_share_the_forward_pass() -> None:
    for method, forwards in (("saliency", 1), ("deeplift", 2), ("smoothgrad", 21), ("grad_cam", 1)):
        (row,) = explain(method, F.predictor(), F.cases(1), [ClassScore(k) for k in range(3)])
        assert row[0].cost.forwards == forwards


def test_ten_classes_of_kernel_shap_cost_as_much_as_one_where_the_peer_runs_again() -> None:
    """Captum takes one target at a time: its passes grow with the classes."""
    from captum.attr import KernelShap

    (row,) = explain(("kernel_shap", {"segments": 16}), F.predictor(), F.cases(1), [ClassScore(k) for k in range(3)] * 4)
    assert len(row) == 12
    assert {a.cost.forwards for a in row} == {2 + row[0].notes["evaluations"]}
    calls = []
    module, case = F.module(), F.cases(1)[0]
    x = case.inputs["x"][None]
    for k in range(3):
        KernelShap(lambda z: calls.append(len(z)) or module(z)).attribute(x, target=k, n_samples=20)
    assert sum(calls) >= 3 * 20
