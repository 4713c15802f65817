"""Maps that promise to add up to the change in output do, whatever the activations; where they do not, they say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract.families import explain
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.explain.gradient.integrated_gradients import IntegratedGradients
from pellucid.explain.shapley.gradient_shap import GradientShap


class Net(nn.Module):
    """Convolution, the activation under test, pooling, convolution, activation, linear."""

    def __init__(self, act: Callable[[Tensor], Tensor], pool: Callable[[Tensor], Tensor], axes: int = 2) -> None:
        super().__init__()
        conv = nn.Conv2d if axes == 2 else nn.Conv3d
        self.c1, self.c2, self.head = conv(1, 6, 3, padding=1), conv(6, 8, 3, padding=1), nn.Linear(8, 3)
        self.act, self.pool = act, pool

    def forward(self, x: Tensor) -> Tensor:
        h = self.pool(self.act(2 * self.c1(x)))
        return self.head(self.act(2 * self.c2(h)).flatten(2).mean(2))


class Statement(nn.Module):
    """In-place calls whose result is not taken: the tensor itself has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2, self.head = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.c1(x)
        h.relu_()
        h = self.c2(h)
        F.relu(h, inplace=True)
        h = h - 0.1
        F.leaky_relu(h, 0.3, True)
        return self.head(h.flatten(2).mean(2))


class Residual(nn.Module):
    """One ReLU module three times, in place, batch norm, and an in-place addition."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2, self.c3 = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm, self.relu, self.head = nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Linear(6, 3)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.c1(x))
        h = self.norm(self.c2(x))
        h = self.c3(self.relu(h))
        h += x
        return self.head(self.relu(h).flatten(2).amax(2))


def mean_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2) if x.ndim == 4 else F.avg_pool3d(x, 2)


ACTS = {
    "module": nn.ReLU(), "in_place": nn.ReLU(inplace=True), "torch.relu": torch.relu, "F.relu": F.relu,
    "relu_": torch.relu_, "method": Tensor.relu, "method_": Tensor.relu_, "clamp": lambda h: h.clamp(min=0),
    "clamp_min": lambda h: torch.clamp_min(h, 0), "clamp_": lambda h: h.clamp_(min=0), "GELU": nn.GELU(), "F.gelu": F.gelu,
    "ELU": nn.ELU(), "F.elu_": F.elu_, "SiLU": nn.SiLU(), "leaky": nn.LeakyReLU(0.2), "PReLU": nn.PReLU(),
    "tanh": torch.tanh, "sigmoid": nn.Sigmoid(), "softplus": F.softplus, "square": lambda h: h**2, "pow": lambda h: h.pow(2),
    "hardswish": F.hardswish, "mish": nn.Mish(inplace=True),
}  # fmt: skip


def maps(net: nn.Module, method: object, shape: tuple[int, ...] = (1, 12, 12)) -> list[Attribution]:
    p = Predictor(net.eval(), inputs=["x"], task="classification", classes=list("abc"))
    g = torch.Generator().manual_seed(1)
    cases = [Case(id=str(i), inputs={"x": torch.randn(shape, generator=g) + 0.5}) for i in range(2)]
    rows = explain(method, p, cases, [ClassScore(0), ClassScore(2)])
    return [a for row in rows for a in row]


def exact(rows: list[Attribution]) -> None:
    for a in rows:
        total = sum(float(m.double().sum()) for m in a.maps.values())
        assert abs(a.notes["expected"]) > 1e-3
        assert total == pytest.approx(a.notes["expected"], rel=1e-4)
        assert a.notes["completeness_error"] == pytest.approx(abs(total / a.notes["expected"] - 1), abs=1e-6)
        assert a.checks["complete"].status == "pass"
        assert "incomplete" not in a.flags


@pytest.mark.parametrize("act", ACTS)
def test_deeplift_with_every_activation(act: str) -> None:
    torch.manual_seed(0)
    exact(maps(Net(ACTS[act], mean_pool), "deeplift"))


@pytest.mark.parametrize(
    "pool",
    [lambda h: F.max_pool2d(h, 2), nn.MaxPool2d(3, 2, 1), lambda h: F.adaptive_max_pool2d(h, 5), lambda h: torch.max_pool2d(h, 2)],
)
def test_deeplift_with_max_pooling(pool: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    exact(maps(Net(F.relu, pool), "deeplift"))


@pytest.mark.parametrize("pool", [nn.MaxPool3d(2), lambda h: F.max_pool3d(h, 2)])
def test_deeplift_with_max_pooling_in_three_dimensions(pool: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    exact(maps(Net(F.gelu, pool, axes=3), "deeplift", shape=(1, 6, 8, 8)))


@pytest.mark.parametrize("make", [Statement, Residual])
def test_deeplift_in_place_reused_residual(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    exact(maps(make(), "deeplift"))


def test_deeplift_explains_the_same_output_as_the_model_gives() -> None:
    """The rule replaces functions as they are called; the values that go forward must stay as they were."""
    torch.manual_seed(0)
    for net in (Statement(), Residual(), *(Net(a, lambda h: F.max_pool2d(h, 2)) for a in ACTS.values())):
        for a, b in zip(maps(net, "deeplift"), maps(net, "saliency")):
            assert a.score == pytest.approx(b.score, rel=1e-5, abs=1e-6)


class Product(nn.Module):
    """A gate: one part of the picture switches another."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2, self.head = nn.Conv2d(1, 6, 3), nn.Conv2d(1, 6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((F.relu(self.c1(x)) * self.c2(x)).flatten(2).mean(2))


class Normalised(nn.Module):
    """Instance norm divides by the input's own spread."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.norm, self.head = nn.Conv2d(1, 6, 3), nn.InstanceNorm2d(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.norm(self.c1(x))).flatten(2).mean(2))


class Attention(nn.Module):
    """Patches that look at each other."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 8, 4, 4)
        self.attend, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = 3 * self.patch(x).flatten(2).transpose(1, 2)
        return self.head(self.attend(tokens, tokens, tokens, need_weights=False)[0].mean(1))


@pytest.mark.parametrize("make", [Product, Normalised, Attention])
def test_deeplift_flags_what_it_cannot_divide(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    rows = maps(make(), "deeplift")
    missed = [a for a in rows if a.notes["completeness_error"] > 0.01]
    assert missed, "this net was chosen because the rescale rule misses it"
    for a in rows:
        total = sum(float(m.double().sum()) for m in a.maps.values())
        error = abs(total - a.notes["expected"]) / abs(a.notes["expected"])
        assert ("incomplete" in a.flags) == (error > 0.01)
        assert a.checks["complete"].status == ("fail" if error > 0.01 else "pass")
        assert a.checks["complete"].value == pytest.approx(error, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("make", [lambda: Net(F.relu, lambda h: F.max_pool2d(h, 2)), lambda: Net(F.gelu, mean_pool), Residual, Product, Attention])
def test_integrated_gradients_meets_its_tolerance_or_says_so(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    for a in maps(make(), "integrated_gradients"):
        total = sum(float(m.double().sum()) for m in a.maps.values())
        error = abs(total - a.notes["expected"]) / abs(a.notes["expected"])
        assert a.notes["completeness_error"] == pytest.approx(error, rel=1e-2, abs=1e-6)
        assert a.notes["nodes"] in (24, 72, 216, 648)
        assert ("incomplete" in a.flags) == (error > 0.01)
        if a.notes["nodes"] < 648:
            assert error <= 0.01


def test_integrated_gradients_flags_a_rule_that_is_too_coarse() -> None:
    """Two nodes cannot follow a ReLU net; the same net at 216 can."""
    torch.manual_seed(3)
    net = Net(lambda h: torch.relu(h - 0.3), lambda h: F.max_pool2d(h, 2))
    coarse = maps(net, IntegratedGradients(n_steps=2))
    fine = maps(net, IntegratedGradients(n_steps=216))
    assert any("incomplete" in a.flags for a in coarse)
    assert max(a.notes["completeness_error"] for a in fine) < 0.2 * max(a.notes["completeness_error"] for a in coarse)
    assert all(a.notes["nodes"] == 216 and a.cost.forwards == 218 for a in fine)


def test_integrated_gradients_goes_on_until_the_map_has_settled() -> None:
    """A tolerance that is met at once is not enough: the map itself must have stopped moving."""
    torch.manual_seed(3)
    net = Net(lambda h: torch.relu(h - 0.3), lambda h: F.max_pool2d(h, 2))
    loose = maps(net, IntegratedGradients(tolerance=10.0, settle=10.0))
    strict = maps(net, IntegratedGradients(tolerance=10.0, settle=1e-4))
    assert {a.notes["nodes"] for a in loose} == {24}
    assert {a.notes["nodes"] for a in strict} == {648}
    assert not any("unsettled" in a.flags for a in loose)
    assert all("unsettled" in a.flags and "incomplete" not in a.flags for a in strict)


def test_gradient_shap_comes_closer_with_more_samples() -> None:
    torch.manual_seed(0)
    net = Net(F.relu, mean_pool)
    errors = [max(a.notes["completeness_error"] for a in maps(net, GradientShap(samples=n))) for n in (2, 200)]
    assert errors[1] < 0.25 * errors[0]
    assert errors[1] < 0.01


def test_a_sampled_map_that_misses_is_a_warning_not_a_failure() -> None:
    torch.manual_seed(3)
    net = Net(lambda h: torch.relu(h - 0.3), lambda h: F.max_pool2d(h, 2))
    rows = maps(net, GradientShap(samples=1))
    missed = [a for a in rows if a.notes["completeness_error"] > 0.01]
    assert missed
    assert all(a.checks["complete"].status == "warn" and "incomplete" in a.flags for a in missed)
