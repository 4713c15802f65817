"""pixel_flipping_slow: Quantus flips one pixel at a time and runs one forward for each, for every metric again.

Ours: full batches, and one pair of curves for all metrics that read it. Compared fairly, with as many steps and a
batch of cases, Quantus is as fast as its forwards.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from metric_worlds import attribution, of
from peers import peer
from pellucid.core.case import Case
from pellucid.core.metric import METRICS
from pellucid.core.predictor import Predictor
from pellucid.evaluate.faithfulness.curve import CurveMetric
from pellucid.evaluate.run import as_metric

SIDE = 12
ROWS: list[int] = []  # pictures in each call, shared with the copy that the engine makes


class Calls(nn.Module):
    """Notes the pictures in each of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ROWS.append(len(x))
        return self.inner(x)


def made() -> tuple[Calls, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    ROWS.clear()
    return Calls().eval(), torch.randn(1, SIDE, SIDE), torch.randn(1, SIDE, SIDE)


def test_ten_metrics_of_three_maps_are_one_run_in_full_batches():
    net, x, a = made()
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b"])
    case = Case(id="f", inputs={"x": x})
    e = of(p, case, [attribution(case, {"x": m}, index=1) for m in (a, -a, x)])
    names = [n for n, c in METRICS.items() if issubclass(c, CurveMetric) and c().by == "pixels"]
    assert len(names) >= 8
    e.ends()
    ROWS.clear()
    for i in range(3):
        e.view(i).scores([as_metric(n) for n in names])
    assert sum(ROWS) == 3 * 2 * 19  # three maps, two curves, 19 points inside
    assert len(ROWS) <= 3  # in as few calls as memory allows, not one for each point
    assert max(ROWS) >= 38


def test_quantus_takes_a_forward_for_every_pixel_and_every_metric():
    quantus = peer("quantus")
    for metric in (quantus.PixelFlipping, quantus.Monotonicity):
        net, x, a = made()
        made_ = metric(disable_warnings=True, display_progressbar=False, perturb_baseline=0.5)
        made_(model=net, x_batch=x.numpy()[None], y_batch=np.array([1]), a_batch=a.numpy()[None], device="cpu",
              channel_first=True)  # fmt: skip
        assert len(ROWS) == SIDE * SIDE  # one call for each pixel …
        assert set(ROWS) == {1}  # … with one picture in it


def test_the_area_needs_no_function_that_numpy_has_dropped(monkeypatch):
    quantus = peer("quantus")
    monkeypatch.delattr(np, "trapz", raising=False)
    net, x, a = made()
    metric = quantus.PixelFlipping(features_in_step=12, return_auc_per_sample=True, disable_warnings=True,
                                   display_progressbar=False, perturb_baseline=0.5)  # fmt: skip
    with pytest.raises(AttributeError, match="trapz"):
        metric(model=net, x_batch=x.numpy()[None], y_batch=np.array([1]), a_batch=a.numpy()[None], device="cpu",
               channel_first=True)  # fmt: skip
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b"])
    case = Case(id="f", inputs={"x": x})
    (s,) = of(p, case, [attribution(case, {"x": a}, index=1)]).view(0).scores([as_metric("deletion_auc")]).values()
    assert 0 < s.value < 1
