"""Trap: Captum's DeepLIFT sees modules alone; with ``torch.relu`` or GELU it misses the output without a warning."""

from __future__ import annotations

import pytest
import torch
from captum.attr import DeepLift as CaptumDeepLift
from torch import Tensor, nn

from contract.families import explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore

ACTS = {"torch.relu": torch.relu, "functional gelu": nn.functional.gelu, "GELU module": nn.GELU()}


class Net(nn.Module):
    def __init__(self, act) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.a, self.b, self.c, self.act = nn.Linear(16, 24), nn.Linear(24, 24), nn.Linear(24, 2), act

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.act(3 * self.b(self.act(3 * self.a(x.flatten(1))))))


CASE = Case(id="1", inputs={"x": torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(2))})


@pytest.mark.parametrize("act", ACTS)
def test_complete_with_any_form_of_activation(act: str) -> None:
    p = Predictor(Net(ACTS[act]).eval(), inputs=["x"], task="classification", classes=["a", "b"])
    ((a,),) = explain("deeplift", p, [CASE], [ClassScore(1)])
    assert a.notes["completeness_error"] < 1e-4
    assert "incomplete" not in a.flags


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("act", ACTS)
def test_captum_still_misses(act: str) -> None:
    net = Net(ACTS[act]).eval()
    x = CASE.inputs["x"][None]
    change = float((net(x) - net(torch.zeros_like(x)))[0, 1])
    theirs = CaptumDeepLift(net).attribute(x, torch.zeros_like(x), target=1)
    assert abs(float(theirs.sum()) - change) > 0.05 * abs(change)
