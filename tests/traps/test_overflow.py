"""Trap: MONAI's Grad-CAM++ gives NaN at logits near 100, where it takes their exponential."""

from __future__ import annotations

import pytest
import torch
from monai.visualize import GradCAMpp

from contract.families import FAMILIES, METHODS, changed, explain

F = FAMILIES["picture"]


def loud():
    """Logits of about 100 and more."""
    return changed(F.module(), lambda m: (m.head.weight.mul_(20), m.head.bias.fill_(120.0)))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("method", METHODS)
def test_finite_at_any_finite_logit(method: str, precision: str) -> None:
    for row in explain(method, F.predictor(loud()), F.cases(), F.targets, precision=precision):
        for a in row:
            assert abs(a.score) > 30
            assert all(torch.isfinite(m).all() for m in a.maps.values())
            assert a.checks["finite"].status == "pass"


def test_monai_still_does() -> None:
    module = loud()
    module.parts["x"].relu.inplace = False
    x = F.cases(1)[0].inputs["x"][None]
    with torch.no_grad():
        k = int(module(x).argmax())
        assert float(module(x).max()) > 90
    cam = GradCAMpp(module, target_layers="parts.x.second", postprocessing=lambda m: m)(x=x, class_idx=k)
    assert not torch.isfinite(cam).all()
