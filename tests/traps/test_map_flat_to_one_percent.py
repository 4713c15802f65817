"""Trap: a map that is the same everywhere to 1 %, stretched over the whole colour bar, looks certain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contract.families import explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore


class Mean(nn.Module):
    """The mean grey value, and next to nothing else."""

    def __init__(self, more: float) -> None:
        super().__init__()
        weight = torch.ones(1, 8, 8)
        weight[0, 2:4, 2:4] += more
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        s = (self.weight * x).flatten(1).mean(1, keepdim=True)
        return torch.cat([s, -s], 1)


def maps(more: float):
    p = Predictor(Mean(more).eval(), inputs=["x"], task="classification", classes=["a", "b"])
    case = Case(id="1", inputs={"x": torch.ones(1, 8, 8)})
    return [explain(m, p, [case], [ClassScore(0)])[0][0] for m in ("saliency", "integrated_gradients", "input_x_gradient", "deeplift")]


def test_a_flat_map_is_flagged_and_keeps_its_values() -> None:
    for a in maps(0.01):
        assert "flat" in a.flags
        assert a.checks["not_flat"].status == "warn"
        assert "nearly the same everywhere" in a.checks["not_flat"].sentence
        m = a.maps["x"]
        assert 0 < float(m.max() - m.min()) < 0.011 * float(m.max()), "the stored map is not stretched"


def test_a_map_with_a_place_is_not() -> None:
    for a in maps(1.0):
        assert "flat" not in a.flags
        assert a.checks["not_flat"].status == "pass"
