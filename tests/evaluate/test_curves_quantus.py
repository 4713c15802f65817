"""The curve metrics against Quantus, with options set alike."""

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

SIDE = 16


@pytest.fixture(scope="module")
def quantus():
    return peer("quantus")


class World:
    """A small network, a picture, and a map of distinct values: for Quantus and for us."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(96, 3)
        ).eval()  # fmt: skip
        rows = torch.arange(SIDE, dtype=torch.float32)
        self.x = (torch.sin(rows / 3)[:, None] * torch.cos(rows / 2) + 0.3 * torch.rand(SIDE, SIDE))[None]
        self.map = torch.randn(1, SIDE, SIDE, generator=torch.Generator().manual_seed(7))
        with torch.no_grad():
            self.k = int(self.net(self.x[None]).argmax())

    def ours(self, *metrics, regions=None, a=None, **options):
        p = Predictor(self.net, inputs=["x"], task="classification", classes=["a", "b", "c"])
        case = Case(id="q", inputs={"x": self.x}, regions=regions or {})
        e = of(p, case, [attribution(case, {"x": self.map if a is None else a}, index=self.k)], **options)
        found = e.view(0).scores([as_metric(m) for m in metrics])
        return e, [s.value for s in found.values()]

    def theirs(self, metric, a=None):
        return metric(
            model=self.net, x_batch=self.x.numpy()[None], y_batch=np.array([self.k]),
            a_batch=(self.map if a is None else a).numpy()[None], device="cpu", channel_first=True, softmax=True,
        )  # fmt: skip


QUIET = {"disable_warnings": True, "display_progressbar": False}


def test_pixel_flipping_is_the_deletion_curve_without_its_first_point(quantus):
    w = World()
    metric = quantus.PixelFlipping(features_in_step=8, perturb_baseline=0.25, **QUIET)
    (theirs,) = w.theirs(metric)
    t = SIDE * SIDE // 8
    e, (auc,) = w.ours({"deletion_auc": {"fill": 0.25, "steps": t}})
    curve = e.view(0).ranked(as_metric({"deletion_auc": {"fill": 0.25, "steps": t}}).plan).on()[0].numpy()
    np.testing.assert_allclose(curve[1:], theirs, atol=1e-4)
    area = quantus.PixelFlipping(features_in_step=8, perturb_baseline=0.25, return_auc_per_sample=True, **QUIET)
    (theirs,) = w.theirs(area)
    assert auc * t - (curve[0] + curve[1]) / 2 == pytest.approx(theirs, abs=1e-4 * t)


@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_region_perturbation(quantus, order):
    w = World()
    (theirs,) = w.theirs(quantus.RegionPerturbation(patch_size=4, order=order, perturb_baseline=0.25, **QUIET))
    _, (ours,) = w.ours({"region_perturbation": {"side": 4, "fill": 0.25, "steps": 16, "order": order}})
    sign = 1 if order == "morf" else -1
    assert ours == pytest.approx(sign * np.sum(theirs) / (len(theirs) + 1), abs=1e-4)  # Samek's sum begins with a drop of 0


def test_selectivity(quantus):
    w = World()
    (theirs,) = w.theirs(quantus.Selectivity(patch_size=4, perturb_baseline=0.25, **QUIET))
    e, (ours,) = w.ours({"selectivity": {"side": 4, "fill": 0.25, "steps": 16}})
    curve = e.view(0).ranked(as_metric({"selectivity": {"side": 4, "fill": 0.25, "steps": 16}}).plan).on()[0].numpy()
    np.testing.assert_allclose(curve[1:], np.ravel(theirs), atol=1e-4)
    assert ours == pytest.approx(np.trapezoid(curve) / 16, abs=1e-6)


def test_irof_with_the_same_superpixels(quantus):
    w = World()
    metric = quantus.IROF(segmentation_method="slic", perturb_baseline=0.25, return_aggregate=False, **QUIET)
    (theirs,) = w.theirs(metric)
    labels = quantus.helpers.utils.get_superpixel_segments(np.moveaxis(w.x.numpy(), 0, -1).astype("double"), "slic")
    n = int(labels.max()) + 1
    assert 10 < n < 200 and len(np.unique(labels)) == n
    options = {"by": "slic", "fill": 0.25, "steps": n}
    e, (ours,) = w.ours({"irof": options}, regions={"slic": torch.as_tensor(labels)})
    curve = e.view(0).ranked(as_metric({"irof": options}).plan).on()[0].numpy()
    # Theirs: n minus an area over n − 1 steps, the first of ours left out.
    first = (1 + curve[1] / curve[0]) / 2
    assert n * ours == pytest.approx(theirs - first, abs=1e-4 * n)
