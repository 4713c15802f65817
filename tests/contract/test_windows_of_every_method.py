"""Every registered method on a volume in windows: finite maps of the right shape, or a sentence that says why not."""

from __future__ import annotations

import pytest
import torch

from contract.families import METHODS, small
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.predictor import Predictor
from pellucid.core.target import RegionScore
from pellucid.engine import Engine, Problem
from pellucid.errors import UsageError
from pellucid.explain.make import attributions
from windowed import case, network, predictor

TARGETS = [RegionScore(1), RegionScore(2)]
INSIDE = {"layer", "attention", "linear_head"}
WHOLE = r"runs in windows of 4 × 4 × 4.*looks inside the network.*or explain a volume of one window's size"
NET = network(3, norm=False)


def looks_inside(method: str) -> bool:
    return method == "lrp" or bool(INSIDE & set(EXPLAINERS[method].needs))


def maps(method: str, roi: tuple[int, ...]):
    p = predictor(3, module=NET, roi=roi)
    usual = [case(4, 7, 6, seed=s, name="usual") for s in (7, 8)]
    return attributions(Problem(Engine(p), [case(4, 7, 6)], TARGETS, background=usual), small(method))[0]


@pytest.mark.parametrize("method", [m for m in METHODS if not looks_inside(m)])
def test_maps_in_windows(method: str) -> None:
    for a in maps(method, (4, 4, 4)):
        m = a.spatial("x")
        assert tuple(m.shape) == (4, 7, 6)
        assert torch.isfinite(m).all()
        assert float(m.abs().max()) > 0
        assert a.provenance["windows"]["roi"] == [4, 4, 4]
        if EXPLAINERS[method].complete == "exact":
            assert a.notes["completeness_error"] < 0.02


@pytest.mark.parametrize("method", [m for m in METHODS if looks_inside(m)])
def test_methods_that_look_inside_say_so(method: str) -> None:
    with pytest.raises(UsageError, match=WHOLE):
        maps(method, (4, 4, 4))


@pytest.mark.parametrize("method", ["grad_cam", "lrp", "saliency"])
def test_one_window_of_its_own_size_changes_nothing(method: str) -> None:
    plain = Predictor(NET, inputs=["x"], task="segmentation", classes=["k0", "k1", "k2"])
    without = attributions(Problem(Engine(plain), [case(4, 7, 6)], TARGETS), small(method))[0]
    for a, b in zip(maps(method, (4, 7, 6)), without):
        assert torch.equal(a.maps["x"], b.maps["x"])
        assert "windows" not in a.provenance
