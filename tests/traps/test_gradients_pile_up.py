"""Trap: MONAI's VanillaGrad adds to the gradients of its first call, and leaves hooks and flags on the model."""

from __future__ import annotations

import torch
from monai.visualize import VanillaGrad

from contract.families import FAMILIES, METHODS, explain

F = FAMILIES["picture"]


def test_a_second_call_gives_the_same_and_leaves_nothing() -> None:
    module, cases = F.module(), F.cases(1)
    predictor = F.predictor(module)
    for method in filter(F.runs, METHODS):
        first, second = (explain(method, predictor, cases, F.targets)[0][0].maps["x"] for _ in range(2))
        assert torch.equal(first, second)
    assert all(p.grad is None for p in module.parameters())
    assert all(not m._forward_hooks and not m._backward_hooks for m in module.modules())
    assert module.parts["x"].relu.inplace
    assert cases[0].inputs["x"].grad is None


def test_monai_still_does() -> None:
    module, x = F.module(), F.cases(1)[0].inputs["x"][None].clone()
    vanilla = VanillaGrad(module)
    first = vanilla(x, index=0).clone()
    second = vanilla(x, index=0).clone()
    torch.testing.assert_close(second, 2 * first)
    assert any(p.grad is not None for p in module.parameters())
