"""Trap: a perturbation method run again for every class, although each pass returns all of them."""

from __future__ import annotations

import pytest

from contract.families import FAMILIES, METHODS, explain, gap
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.target import ClassScore

F = FAMILIES["picture"]


@pytest.mark.parametrize("method", [m for m in METHODS if EXPLAINERS[m].family == "perturbation"])
def test_all_classes_come_from_the_same_passes(method: str) -> None:
    ((one,),) = explain(method, F.predictor(), F.cases(1), [ClassScore(1)])
    (many,) = explain(method, F.predictor(), F.cases(1), [ClassScore(k) for k in range(3)])
    assert {a.cost.forwards for a in many} == {one.cost.forwards}
    assert gap(many[1], one) < 1e-5


def test_gradients_of_all_classes_share_the_forward_pass() -> None:
    for method, forwards in (("saliency", 1), ("deeplift", 2), ("smoothgrad", 21), ("grad_cam", 1)):
        (row,) = explain(method, F.predictor(), F.cases(1), [ClassScore(k) for k in range(3)])
        assert row[0].cost.forwards == forwards
