"""SmoothGrad, its square and its variance: three readings of the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from contract.families import FAMILIES, explain, gap
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore, Score
from pellucid.engine import Engine, Problem
from pellucid.errors import UsageError
from pellucid.explain.gradient.smoothgrad import SmoothGrad
from pellucid.explain.gradient.vargrad import VarGrad
from pellucid.explain.make import attributions
from reference.gradients import gradient

F = FAMILIES["picture"]
S = 7
FORMS = (SmoothGrad(samples=S), SmoothGrad(samples=S, reduce="square"), VarGrad(samples=S))


@pytest.mark.parametrize("first", range(3))
def test_three_methods_and_s_gradients_in_all(first: int) -> None:
    engine = Engine(F.predictor())
    problem = Problem(engine, F.cases(2), F.targets)
    order = (FORMS[first], *FORMS)
    rows = [attributions(problem, method) for method in order]
    assert (engine.cost.forwards, engine.cost.backwards) == (2 * (1 + S), 2 * 2 * S)
    for row in rows:  # while each is charged for what it takes alone
        assert all((a.cost.forwards, a.cost.backwards) == (1 + S, 2 * S) for case in row for a in case)
    for method, row in zip(order, rows):
        for x, y in zip(row, explain(method, F.predictor(), F.cases(2), F.targets)):
            assert max(gap(a, b) for a, b in zip(x, y)) < 1e-6


def test_other_noise_is_other_gradients() -> None:
    engine = Engine(F.predictor())
    problem = Problem(engine, F.cases(1), F.targets[:1])
    for method in (SmoothGrad(samples=S), VarGrad(samples=S, noise=0.2), VarGrad(samples=S + 1)):
        attributions(problem, method)
    assert engine.cost.backwards == 3 * S + 1


def test_the_forms_are_those_of_the_gradients_one_by_one() -> None:
    net, case = F.module().double(), F.cases(1)[0]
    problem = Problem(Engine(F.predictor(net), precision="float64"), [case], [ClassScore(2)], seed=3)
    copies = problem.noisy(0.1, "smoothgrad")(*problem.copies(S))["x"]
    each = torch.stack([gradient(lambda x: net(x[None])[0, 2], x) for x in copies])
    wanted = (each.mean(0), (each**2).mean(0), each.var(0, correction=0))
    for method, w in zip(FORMS, wanted):
        ((a,),) = explain(method, F.predictor(net), [case], [ClassScore(2)], seed=3, precision="float64")
        torch.testing.assert_close(a.maps["x"].double(), w, rtol=1e-5, atol=1e-9)
        assert a.provenance["parameters"].get("reduce", "variance") in ("mean", "square", "variance")


class Bent(nn.Module):
    """``1000 Σ x + 0.5 Σ bend · x²``: the gradient is 1000 + bend · x, its variance (bend · sd)²."""

    def __init__(self, bend: float) -> None:
        super().__init__()
        self.bend = bend

    def forward(self, x: Tensor) -> Tensor:
        return (1000 * x + 0.5 * self.bend * x * x).flatten(1).sum(1, keepdim=True)


def vargrad_of(bend: float, samples: int = 400) -> Tensor:
    x = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(0))
    x[0, 0, 0], x[0, 0, 1] = 0, 1  # a range of 1, so that the noise has sd 0.1
    p = Predictor(Bent(bend).eval(), inputs=["x"], task="regression")
    ((a,),) = explain(VarGrad(samples=samples), p, [Case(id="1", inputs={"x": x})], [Score()])
    return a.maps["x"]


@pytest.mark.parametrize("bend", [0.05, 1.0, 100.0])
def test_a_small_variance_beside_a_large_gradient(bend: float) -> None:
    """sd 0.005 beside a mean of 1000. With float32 sums the difference of the squares would be rounding alone."""
    found = vargrad_of(bend) / (0.1 * bend) ** 2
    assert float(found.mean()) == pytest.approx(1, abs=0.1)
    assert float(found.min()) > 0.6
    assert float(found.max()) < 1.5


def test_no_variance_is_zero_and_nothing_else() -> None:
    assert float(vargrad_of(0.0, samples=7).abs().max()) == 0
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).eval()
    p = Predictor(net, inputs=["x"], task="classification", classes=list("abc"))
    case = Case(id="1", inputs={"x": torch.randn(2, 6, 6)})
    ((a,),) = explain("vargrad", p, [case], [ClassScore(1)])
    assert "empty" in a.flags
    ((a,),) = explain(SmoothGrad(reduce="square"), p, [case], [ClassScore(1)])
    torch.testing.assert_close(a.maps["x"], net[1].weight[1].detach().view(2, 6, 6) ** 2)
    assert not a.signed


def test_options_that_make_no_sense() -> None:
    for make, message in (
        (lambda: VarGrad(samples=1), "samples=1: a variance needs 2 or more"),
        (lambda: VarGrad(noise=0), "noise=0: give a positive share"),
        (lambda: SmoothGrad(reduce="variance"), "choose 'mean' or 'square'; the variance is the method 'vargrad'"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match=message):
            make()
