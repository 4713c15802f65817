"""Gradient methods of organs in a volume: Agg²Exp's settings, its five baselines, whole and in windows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from contract.families import explain
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import RegionScore
from pellucid.core.windows import windows
from pellucid.engine import Engine, Problem
from pellucid.explain.gradient.integrated_gradients import IntegratedGradients
from pellucid.explain.gradient.smoothgrad import SmoothGrad

SHAPE = (1, 8, 6, 5)
TARGETS = [RegionScore(1), RegionScore(2, region="organ", reduce="mean")]


class Net(nn.Module):
    """Two convolutions, smooth between them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x)))


def world(*, cut: bool = False) -> tuple[Predictor, Case]:
    p = Predictor(
        Net().eval(), inputs=["ct"], task="segmentation", classes=["a", "b", "c"],
        windows=windows((4, 4, 5), overlap=0.25) if cut else None,
    )  # fmt: skip
    organ = torch.zeros(SHAPE[1:], dtype=torch.bool)
    organ[2:6, 1:4, 1:4] = True
    x = 2 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) + 0.5
    return p, Case(id="v", inputs={"ct": x}, regions={"organ": organ}, spacing=(3.0, 1.0, 1.0))


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("baseline", ["zero", "mean", "blur", "uniform", "gaussian"])
def test_the_five_baselines_add_up_for_every_organ(baseline: str, cut: bool) -> None:
    """The sum of the map is what the organ's score gains over the baseline: a quadrature whose weights add up to 1."""
    p, case = world(cut=cut)
    (row,) = explain(IntegratedGradients(baseline=baseline, n_steps=20), p, [case], TARGETS, precision="float64")
    problem = Problem(Engine(p, precision="float64"), [case], TARGETS)
    change = problem.scores - problem.score_of(problem.fill(IntegratedGradients(baseline=baseline).baseline))
    for a, wanted in zip(row, change[0].tolist()):
        assert float(a.maps["ct"].double().sum()) == pytest.approx(wanted, rel=2e-3, abs=1e-6)
        assert "incomplete" not in a.flags
    assert float((row[0].maps["ct"] - row[1].maps["ct"]).abs().max()) > 1e-4


def test_the_twenty_nodes_of_the_source_divided_by_twenty_do_not_add_up() -> None:
    """Trap quadrature: both ends among 20 nodes, divided by 20, is 5 % more at each end; ours weighs them to 1."""
    p, case = world()
    x = case.inputs["ct"][None].double()
    net = Net().double().eval()
    labels = net(x).argmax(1)[0] == 1

    def slope(at: Tensor) -> Tensor:
        at = at.detach().requires_grad_()
        return torch.autograd.grad(net(at)[0, 1][labels].sum(), at)[0]

    source = sum(slope(a * x) * x / 20 for a in torch.linspace(0, 1, 20).double())
    change = float((net(x) - net(0 * x))[0, 1][labels].sum().detach())
    ((a, _),) = explain(IntegratedGradients(n_steps=20), p, [case], TARGETS, precision="float64")
    ours = abs(float(a.maps["ct"].double().sum()) / change - 1)
    assert ours < 0.1 * abs(float(torch.as_tensor(source).sum()) / change - 1)


@pytest.mark.parametrize("cut", [False, True])
def test_smoothgrad_is_the_mean_of_20_gradients_at_a_tenth_of_the_range(cut: bool) -> None:
    p, case = world(cut=cut)
    method = SmoothGrad()
    assert (method.samples, method.noise) == (20, 0.1)
    problem = Problem(Engine(p, precision="float64"), [case], TARGETS)
    copies = problem.noisy(method.noise, "smoothgrad")(*problem.copies(method.samples))["ct"]
    spread = (copies - problem.inputs["ct"]).std() / (case.inputs["ct"].max() - case.inputs["ct"].min())
    assert float(spread) == pytest.approx(0.1, rel=0.05)
    (row,) = explain(method, p, [case], TARGETS, precision="float64")
    problem.bind()
    leaf = copies.detach().requires_grad_()
    if cut:
        found = [problem.engine.gradients(problem.stream(torch.zeros(1, dtype=torch.int64), lambda _, c=c: {"ct": c[None]}), problem.objective).sums["ct"][0] for c in copies]
        wanted = torch.stack(found).mean(0)
    else:
        scores = problem.objective(Net().double().eval()(leaf), torch.zeros(20, dtype=torch.int64)).mean(0)
        wanted = torch.stack([torch.autograd.grad(s, leaf, retain_graph=True)[0].sum(0) for s in scores])
    for a, w in zip(row, wanted):
        torch.testing.assert_close(a.maps["ct"].double(), w, rtol=1e-5, atol=1e-7)
