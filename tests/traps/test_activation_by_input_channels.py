"""Trap: MONAI's OcclusionSensitivity picks sigmoid or softmax by the number of *input* channels."""

from __future__ import annotations

import torch
from monai.visualize import OcclusionSensitivity
from torch import nn

from contract.families import explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.engine import Engine


def net(channels: int, outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, outputs)).eval()


def test_probabilities_follow_the_output() -> None:
    """A grey picture with three exclusive classes: they sum to 1. A colour picture with one logit: it is not 1."""
    grey = Predictor(net(1, 3), inputs=["x"], task="classification", classes=list("abc"))
    case = Case(id="1", inputs={"x": torch.rand(1, 12, 12)})
    rows = explain("occlusion", grey, [case], [ClassScore(k, on="probability") for k in range(3)])[0]
    assert sum(a.score for a in rows) == torch.tensor(1.0).item() or abs(sum(a.score for a in rows) - 1) < 1e-5
    assert float(sum(a.maps["x"] for a in rows).abs().max()) < 1e-5, "what one class loses the others gain"
    colour = Predictor(net(3, 1), inputs=["x"], task="classification", classes=["disease"])
    case = Case(id="1", inputs={"x": torch.rand(3, 12, 12)})
    ((a,),) = explain("occlusion", colour, [case], [ClassScore(0, on="probability")])
    p = float(Engine(colour).predict([case])[0].sigmoid())
    assert abs(a.score - p) < 1e-6
    assert float(a.maps["x"].abs().max()) > 0


def test_monai_still_does() -> None:
    grey, _ = OcclusionSensitivity(net(1, 3), mask_size=4, mode=0.0, overlap=0.0, verbose=False)(torch.rand(1, 1, 12, 12))
    assert float((grey.sum(1) - 1).abs().min()) > 0.05
    colour, _ = OcclusionSensitivity(net(3, 1), mask_size=4, mode=0.0, overlap=0.0, verbose=False)(torch.rand(1, 3, 12, 12))
    assert float((colour - 1).abs().max()) == 0
