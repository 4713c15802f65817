"""road_slow: Quantus' ROAD takes ten times as long as its forwards, pytorch-grad-cam runs twice those it needs.

Ours: one factorisation for each mask, for all channels, of a matrix cut out of one that is built once; every forward
is of an imputed picture, in full batches. The picture as it is does not change the difference of two answers.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from metric_worlds import attribution, of
from peers import peer
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.evaluate.run import as_metric
from pellucid.evaluate.shared import impute, removal

SHARES = list(range(10, 100, 10))
ROWS: list[int] = []  # pictures in each call, shared with the copy that the engine makes


class Calls(nn.Module):
    """Notes the pictures in each of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(3 * 144, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ROWS.append(len(x))
        return self.inner(x)


def made() -> tuple[Calls, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    ROWS.clear()
    return Calls().eval(), torch.randn(3, 12, 12), torch.rand(12, 12)


def test_one_factorisation_for_each_mask_and_one_forward_for_each_picture(monkeypatch):
    built, factored = [], []
    for module, name, seen in ((removal, "neighbourhood", built), (impute, "splu", factored)):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, o=original, s=seen, **k: s.append(1) or o(*a, **k))
    net, x, a = made()
    p = Predictor(net, inputs=["x"], task="classification", classes=["a", "b"])
    case = Case(id="r", inputs={"x": x})
    e = of(p, case, [attribution(case, {"x": m[None]}, index=1) for m in (a, -a, a, 2 * a)])
    ROWS.clear()
    for i in range(4):
        e.view(i).scores([as_metric("road")])
    assert len(built) == 1
    assert len(factored) == 2 * 2 * len(SHARES)  # two different rankings among the four maps; three channels at once
    assert sum(ROWS) == 2 * 2 * len(SHARES)
    assert len(ROWS) <= 5


def test_pytorch_grad_cam_runs_the_clean_picture_each_time(monkeypatch):
    road = peer("pytorch_grad_cam.metrics.road")
    solved = []
    original = road.spsolve
    monkeypatch.setattr(road, "spsolve", lambda *a: solved.append(1) or original(*a))
    net, x, a = made()
    with torch.no_grad():
        road.ROADCombined(SHARES)(x[None], a.numpy()[None], [lambda out: out.softmax(0)[1]], net)
    assert len(solved) == 2 * len(SHARES)
    assert [1] * 4 * len(SHARES) == ROWS  # 36 forwards of one picture, for 18 answers


def test_quantus_builds_its_system_anew_for_each_mask_and_runs_them_one_by_one(monkeypatch):
    module = peer("quantus").functions.perturb_func
    built = []
    original = module.lil_matrix
    monkeypatch.setattr(module, "lil_matrix", lambda *a: built.append(1) or original(*a))
    net, _, a = made()
    net.inner = nn.Sequential(nn.Flatten(), nn.Linear(144, 2))
    x = np.random.default_rng(0).normal(size=(1, 1, 12, 12)).astype("float32")  # with 3 channels it fails
    metric = peer("quantus").ROAD(percentages=SHARES, display_progressbar=False, disable_warnings=True)
    metric(model=net, x_batch=x, y_batch=np.array([1]), a_batch=a.numpy()[None, None], device="cpu", channel_first=True)
    assert len(built) == len(SHARES)
    assert len(ROWS) >= len(SHARES) and set(ROWS) == {1}
