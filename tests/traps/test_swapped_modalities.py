"""Trap: Grad-CAM of the second branch was called with the two modalities in swapped order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from contract.families import METHODS, explain
from pellucid.core.case import Case
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.predictor import Predictor
from pellucid.core.target import Score


class Second(nn.Module):
    """Looks at the upper left of the second picture alone, and not linearly; both have the same shape."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1)
        for p in self.parameters():
            p.data.abs_()

    def forward(self, flair: Tensor, t1: Tensor) -> Tensor:
        return (0 * self.a(flair)).mean((1, 2, 3)) + 4 * self.b(t1)[:, :, :4, :4].mean((1, 2, 3)) ** 2


OFFERS = {"gradient", "layer", "several_inputs"}
REAL = [
    m for m in METHODS
    if EXPLAINERS[m].family != "control" and EXPLAINERS[m].targeted and set(EXPLAINERS[m].needs) <= OFFERS
    and "regression" in EXPLAINERS[m].tasks
]  # fmt: skip


@pytest.mark.parametrize("method", REAL)
@pytest.mark.parametrize("order", [["flair", "t1"], ["t1", "flair"]])
def test_inputs_go_by_name(method: str, order: list[str]) -> None:
    p = Predictor(Second().eval(), inputs=["flair", "t1"], task="regression")
    pictures = {"flair": torch.rand(1, 8, 8) + 0.5, "t1": torch.rand(1, 8, 8) + 0.5}
    ((a,),) = explain(method, p, [Case(id="1", inputs={k: pictures[k] for k in order})], [Score()])
    chance = 6 * max(a.notes.get(k, 0.0) for k in ("standard_error", "standard_error_max"))  # of a sampled map
    shown = float(a.spatial("t1").abs().max())
    assert float(a.maps["flair"].abs().max()) <= 1e-6 + chance
    assert float(a.maps["flair"].abs().max()) < 0.2 * shown  # swapped, it would be many times
    assert a.spatial("t1").abs().flatten().argmax() // 8 < 5
