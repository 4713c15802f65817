"""Trap: a batch with ``class_idx=None`` in MONAI's Grad-CAM mixes the gradients of its cases."""

from __future__ import annotations

import pytest
import torch
from monai.visualize import GradCAM

from contract.families import FAMILIES, METHODS, explain, gap
from pellucid.core.target import ClassScore

F = FAMILIES["picture"]


@pytest.mark.parametrize("method", [m for m in METHODS if F.runs(m)])
def test_a_batch_of_different_predicted_classes_equals_its_cases(method: str) -> None:
    predictor, cases = F.predictor(), F.cases(6)
    rows = explain(method, predictor, cases, [ClassScore()])
    assert len({row[0].target["index"] for row in rows}) > 1
    for case, (a,) in zip(cases, rows):
        ((alone,),) = explain(method, predictor, [case], [ClassScore()])
        assert gap(a, alone) < 1e-5


def test_monai_still_does() -> None:
    module, cases = F.module(), F.cases(6)
    module.parts["x"].relu.inplace = False
    x = torch.stack([c.inputs["x"] for c in cases])
    cam = GradCAM(module, target_layers="parts.x.second", postprocessing=lambda m: m)
    together = cam(x=x, class_idx=None).detach()
    alone = torch.cat([cam(x=v[None], class_idx=None) for v in x]).detach()
    assert float((together - alone).abs().max()) > 0.01 * float(alone.abs().max())
