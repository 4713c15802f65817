"""A small trained network: a twentieth of dense occlusion's windows, and what that does to the map; said in a report."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pellucid as pc
from pellucid.report.limits import _approximate
from pellucid.study.stages.explain import cost_rows

SIDE, LEVELS = 32, [(16, 4), (8, 2), (5, 1)]


def picture(g: torch.Generator) -> tuple[Tensor, Tensor]:
    """A disc in noise, and where it is."""
    r, c = torch.randint(6, SIDE - 6, (2,), generator=g).tolist()
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    disc = (y - r) ** 2 + (x - c) ** 2 <= 9
    return 0.2 * torch.randn(1, SIDE, SIDE, generator=g) + disc * float(torch.rand(1, generator=g)), disc


@pytest.fixture(scope="module")
def trained() -> pc.Predictor:
    """Has learned how bright the disc is."""
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.AdaptiveMaxPool2d(1),
        nn.Flatten(), nn.Linear(6, 1),
    )  # fmt: skip
    step = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(50):
        drawn = [picture(g) for _ in range(8)]
        x = torch.stack([p for p, _ in drawn])
        bright = torch.stack([(p[0] * m).sum() / m.sum() for p, m in drawn])
        step.zero_grad()
        ((net(x)[:, 0] - bright) ** 2).mean().backward()
        step.step()
    return pc.Predictor(net.eval(), inputs=["x"], task="regression")


@pytest.fixture(scope="module")
def compared(trained: pc.Predictor) -> tuple[np.ndarray, list[pc.Attribution]]:
    """Deletion AUC, pointing game and Dice of both, ``(cases, 2, 3)``, and the hierarchical maps."""
    g, scores, maps = torch.Generator().manual_seed(5), [], []
    for i in range(6):
        x, disc = picture(g)
        case = pc.Case(id=f"c{i}", inputs={"x": x}, regions={"lesion": disc})
        dense = pc.explain(trained, case, "occlusion", window=5, stride=1)
        ours = pc.explain(trained, case, "hierarchical_occlusion", levels=LEVELS, min_window=5)
        assert dense.cost.forwards - 1 == ours.notes["dense_evaluations"] == 28**2
        metrics = ["deletion_auc", {"pointing_game": {"tolerance": 3}}, "dice_matched"]
        found = pc.evaluate(trained, case, [dense, ours], metrics)
        scores.append([list(f.values()) for f in found])
        maps.append(ours)
    return np.array(scores), maps


def test_a_twentieth_of_the_windows(compared) -> None:
    for a in compared[1]:
        assert 25 < a.notes["evaluations"] <= 28**2 / 20
        assert a.cost.forwards == 1 + a.notes["evaluations"]
        assert a.notes["left_out"] > 0


def test_it_points_where_dense_occlusion_does(compared) -> None:
    deletion, pointing, dice = compared[0].transpose(2, 1, 0)
    assert pointing[1].mean() >= pointing[0].mean() - 0.17  # a case of six
    assert pointing[1].mean() > 0.6
    assert dice[1].mean() > 0.5  # a random map: 0.03, the share of the disc
    assert dice[1].mean() > 0.75 * dice[0].mean()
    gap = (deletion[1] - deletion[0]) / deletion[0].std()
    assert gap.mean() < 1


def test_a_report_says_what_it_took_and_what_it_misses(compared) -> None:
    costs = cost_rows(compared[1])
    run = SimpleNamespace(tasks=["discs"], table=lambda *_: costs)
    (said,) = _approximate(run)
    mean = np.mean([a.notes["evaluations"] for a in compared[1]])
    assert said.startswith(f"discs: hierarchical occlusion filled {mean:,.0f} windows a map where dense occlusion would fill 784")
    assert "effects that cancel inside a coarse window can be missed" in said
    other = costs.assign(dense_evaluations=np.nan)
    assert _approximate(SimpleNamespace(tasks=["discs"], table=lambda *_: other)) == []
