"""What methods promise in their class (``complete``, ``resolution``) holds on models whose answer is known on paper."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract.families import FAMILIES, METHODS, PAIRS, usual
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.predictor import Predictor
from pellucid.core.target import Score
from pellucid.engine import Engine, Problem
from pellucid.explain.make import as_explainer, attributions

ADDING_UP = [p for p in PAIRS if EXPLAINERS[p[1]].complete != "no"]
ANYWHERE = [m for m in METHODS if EXPLAINERS[m].complete == "exact" and set(EXPLAINERS[m].needs) <= {"gradient"}]


@pytest.mark.parametrize(("family", "method"), ADDING_UP)
def test_a_map_adds_up_to_what_it_promises_or_says_that_it_does_not(family: str, method: str) -> None:
    for row in usual(family, method):
        for a in row:
            total = sum(float(m.double().sum()) for m in a.maps.values())
            wanted = a.notes["expected"]
            error = abs(total - wanted) / max(abs(wanted), 1e-6)
            if abs(error - 0.01) > 1e-4:  # at the threshold itself rounding decides
                assert ("incomplete" in a.flags) == (error > 0.01)
    if EXPLAINERS[method].complete == "exact" and "attention" not in FAMILIES[family].offers:
        maps = [a for row in usual(family, method) for a in row]
        assert sum("incomplete" not in a.flags for a in maps) > len(maps) / 2


@pytest.mark.parametrize("method", [m for m in METHODS if EXPLAINERS[m].complete == "exact"])
def test_an_exact_method_adds_up_on_most_kinds_of_model(method: str) -> None:
    """Attention multiplies activations: DeepLIFT's rule cannot divide that, and each such map says so."""
    maps = [a for f, m in ADDING_UP if m == method for row in usual(f, m) for a in row]
    assert sum("incomplete" not in a.flags for a in maps) > len(maps) / 2


class Linear(nn.Module):
    """``y_i = v_i · x + u_i · t + c_i``: one picture and one table, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.picture, self.table = nn.Linear(2 * 8 * 8, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.picture(x.flatten(1)) + self.table(t)


class Additive(Linear):
    """The same, each column of the table through a function of its own."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        a, b, c, d = t.unbind(1)
        columns = torch.stack([torch.sin(a), b**2, F.relu(c), 2 * d], 1)
        return self.picture(x.flatten(1)) + columns.sum(1, keepdim=True)


MEAN, SD = torch.tensor([50.0, 2.0, 1.0, 0.0]), torch.tensor([10.0, 0.5, 2.0, 1.0])
TABLE = torch.tensor([63.0, 3.0, 4.0, -1.0])


def explained(method: str, module: nn.Module, **options: object) -> tuple[Attribution, Tensor]:
    """The map of the second output, and the picture minus what stands for an absent one."""
    p = Predictor(module.eval(), inputs=["x", "t"], task="regression", classes=["a", "b"], normalise={"t": (MEAN, SD)})
    x = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(1))
    explainer = as_explainer(method, options)
    problem = Problem(Engine(p, precision="float64"), [Case(id="1", inputs={"x": x, "t": TABLE})], [Score(1)])
    ((a,),) = attributions(problem, explainer)
    stand_in = getattr(explainer, "baseline", getattr(explainer, "fill", None))
    return a, (x - problem.fill(stand_in)["x"][0]).float()


@pytest.mark.parametrize("method", ANYWHERE)
def test_a_linear_model_gives_w_times_the_difference(method: str) -> None:
    net = Linear()
    a, step = explained(method, net)
    wanted = net.picture.weight[1].detach().view(2, 8, 8) * step
    torch.testing.assert_close(a.maps["t"], net.table.weight[1].detach() * (TABLE - MEAN) / SD, rtol=1e-4, atol=1e-5)
    assert float(a.maps["x"].sum()) == pytest.approx(float(wanted.sum()), rel=1e-4)
    if EXPLAINERS[method].resolution == "pixel":
        torch.testing.assert_close(a.maps["x"], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ANYWHERE)
def test_an_additive_model_gives_each_column_what_it_adds(method: str) -> None:
    """The Shapley value of a column of an additive model is what its own function adds."""
    exact = {"tolerance": 1e-6, "settle": 1e-4} if method == "integrated_gradients" else {}
    a, _ = explained(method, Additive(), **exact)
    z = (TABLE - MEAN) / SD
    wanted = torch.stack([torch.sin(z[0]), z[1] ** 2, F.relu(z[2]), 2 * z[3]])
    torch.testing.assert_close(a.maps["t"], wanted, rtol=1e-3, atol=1e-4)


def test_promises_are_made() -> None:
    """The tests above run on something."""
    assert len(ANYWHERE) >= 2
    assert {f for f, _ in ADDING_UP} == set(FAMILIES)
