"""The controls know nothing of the model, and are the same whatever they are explained beside."""

from __future__ import annotations

import torch
from torch import nn

import pellucid as pc


def test_a_random_map_does_not_depend_on_the_place_of_its_target() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    predictor = pc.Predictor(net, inputs=["x"], task="classification", classes=["a", "b", "c"])
    case = pc.Case(id="1", inputs={"x": torch.randn(1, 4, 4)})
    both = pc.explain_many(predictor, [case], methods=["random"], targets=["c", "b"])
    alone = pc.explain(predictor, case, method="random", target="b")
    assert torch.equal(both[1].maps["x"], alone.maps["x"])
    assert not torch.equal(both[0].maps["x"], both[1].maps["x"])
