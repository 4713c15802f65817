"""monotonicity_of_nothing: Quantus' Monotonicity puts the baseline back instead of the pixels, so every map passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from metric_worlds import attribution, of
from peers import peer
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.evaluate.run import as_metric


class Recorded(nn.Module):
    """A sum of all pixels with a sign, that keeps what it was shown."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.sign, self.shown = sign, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shown.append(x.detach().clone())
        total = self.sign * x.flatten(1).sum(1, keepdim=True) / 64
        return torch.cat([torch.zeros_like(total), total], 1)


def ours(net: nn.Module, x: torch.Tensor) -> float:
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b"])
    case = Case(id="m", inputs={"x": x})
    metric = as_metric({"monotonicity": {"fill": 0.0, "steps": 8, "strict": True}})
    return of(p, case, [attribution(case, {"x": x}, index=1)]).view(0).scores([metric])["monotonicity"].value


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_picture_is_built_up(sign):
    """Every pixel raises the answer, or every pixel lowers it."""
    x = 1 + torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert ours(Recorded(sign).eval(), x) == (sign > 0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_quantus_shows_the_model_the_baseline_alone(sign):
    quantus = peer("quantus")
    net = Recorded(sign).eval()
    x = 1 + torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    metric = quantus.Monotonicity(features_in_step=8, abs=False, perturb_baseline=0.0, disable_warnings=True, display_progressbar=False)
    (found,) = metric(model=net, x_batch=x.numpy()[None], y_batch=np.array([1]), a_batch=x.numpy()[None], device="cpu",
                      channel_first=True)  # fmt: skip
    assert found  # monotone, also where every pixel lowers the answer
    assert all(not s.any() for s in net.shown[-8:])  # all eight steps are the empty picture
