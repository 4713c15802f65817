"""Trap: pytorch-grad-cam's context manager swallows an IndexError; the caller gets nothing, and no word."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from contract.families import FAMILIES, METHODS, explain
from peers import peer
from pellucid.errors import ModelError

F = FAMILIES["picture"]


class Broken(nn.Module):
    """Fails on larger batches only: past the first look at the model."""

    def __init__(self, inner: nn.Module, error: Exception) -> None:
        super().__init__()
        self.inner, self.error = inner, error

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            raise self.error
        return self.inner(x)


@pytest.mark.parametrize("method", [m for m in METHODS if F.runs(m)])
@pytest.mark.parametrize("error", [IndexError("index 7 is out of range"), KeyError("age"), ZeroDivisionError("division by zero")])
def test_errors_propagate_with_their_cause(method: str, error: Exception) -> None:
    with pytest.raises(ModelError, match="Broken failed on inputs x") as caught:
        explain(method, F.predictor(Broken(F.module(), error).eval()), F.cases(), F.targets)
    assert type(caught.value.__cause__) is type(error)
    assert str(error) in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_pytorch_grad_cam_still_swallows_it() -> None:
    """The model fails in the middle; the ``with`` block ends without a map and without an exception."""
    module = F.module()
    module.parts["x"].relu.inplace = False
    net, layer = Broken(module, IndexError("index 7 is out of range")), module.parts["x"].second
    pictures = torch.stack([c.inputs["x"] for c in F.cases()])
    done = False
    with peer("pytorch_grad_cam").GradCAM(model=net, target_layers=[layer]) as cam:
        cam(input_tensor=pictures, targets=[lambda out: out[0]] * len(pictures))
        done = True
    assert not done
