"""What is held while a table is made, counted tensor by tensor: it does not follow the number of classes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pellucid as pc
from engine.test_window_memory import Live

SHAPE, ROI = (128, 12, 12), (16, 12, 12)

OPTIONS = {"saliency": {}, "smoothgrad": {"samples": 2}, "feature_ablation": {"groups": "blocks", "side": 64}}


class Columns(nn.Module):
    """A class for each stretch of the first axis of a ramp; wide, so that a window's graph is what counts."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.wide, self.back = nn.Conv3d(1, 48, 3, padding=1), nn.Conv3d(48, 1, 1)
        centres = torch.linspace(0, 1, classes)
        self.register_buffer("slope", 2 * centres.view(-1, 1, 1, 1))
        self.register_buffer("offset", -(centres**2).view(-1, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.slope * x + self.offset + 1e-4 * self.back(torch.tanh(self.wide(x)))


def peak(classes: int, method: str) -> int:
    torch.manual_seed(0)
    names = [f"c{k}" for k in range(classes)]
    p = pc.Predictor(
        Columns(classes).eval(), inputs=["ct"], task="segmentation", classes=names, windows=pc.windows(ROI, overlap=0.25)
    )
    ramp = torch.linspace(0, 1, SHAPE[0]).view(1, -1, 1, 1).expand(1, *SHAPE).clone()
    case = pc.Case(id="p1", inputs={"ct": ramp})
    with Live([ramp]) as live:
        table = pc.aggregate(p, case, method=method, chunk=1, **OPTIONS[method])
    assert not (table["measure"] == "never_predicted").any()
    return live.peak


@pytest.mark.parametrize("method", OPTIONS)
def test_twenty_classes_take_little_more_than_two(method: str) -> None:
    few, many = peak(2, method), peak(20, method)
    map_of_a_class = 4 * SHAPE[0] * SHAPE[1] * SHAPE[2]
    # What a class adds are its logits in a window, a few times over; where copies are scored, its region as well.
    assert many - few < 18 * map_of_a_class * (0.5 if pc.methods().loc[method, "gradients"] else 0.8)
    assert many < 1.5 * few
