"""DeepLIFT and DeepSHAP on activations of every form: the output stays what it was, the map adds up, or it says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import ResNet
from torch import Tensor, nn

from contract.families import explain
from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import ClassScore
from pellucid.engine import Engine, Problem, Stream
from pellucid.engine.rules import Rescale
from pellucid.errors import ModelError, UsageError
from pellucid.explain.make import as_explainer, attributions

METHODS = ["deeplift", "deepshap"]
both = pytest.mark.parametrize("method", METHODS)


class Net(nn.Module):
    """Two convolutions and a hidden layer, the activation under test after each."""

    def __init__(self, act: Callable[[Tensor], Tensor], head: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, stride=2)
        self.hidden, self.act, self.head = nn.Linear(6, 8), act, head or nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(3 * self.second(self.act(2 * self.first(x))))
        return self.head(self.act(3 * self.hidden(h.flatten(2).mean(2))))


class Sequence(nn.Module):
    """A transformer block on patches: LayerNorm, attention, GELU."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch, self.head = nn.Conv2d(1, 8, 4, 4), nn.Linear(8, 3)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True, norm_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(3 * self.patch(x).flatten(2).transpose(1, 2)).mean(1))


class Squash(torch.autograd.Function):
    """``tanh 3x`` with a derivative of its own: what is inside cannot be seen."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        y = torch.tanh(3 * x)
        ctx.save_for_backward(y)  # type: ignore[attr-defined]
        return y

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return 3 * grad * (1 - y**2)


class View(nn.Module):
    """Half of the channels are overwritten through a view."""

    def forward(self, h: Tensor) -> Tensor:
        h = h.clone()
        h[:, ::2].relu_()
        return h


SEEN: dict[str, Callable[[], nn.Module]] = {
    "torch.relu": lambda: Net(torch.relu), "F.relu": lambda: Net(F.relu), "F.gelu": lambda: Net(F.gelu),
    "reused module": lambda: Net(nn.ReLU()), "in place": lambda: Net(nn.ReLU(inplace=True)),
    "torch.relu_": lambda: Net(torch.relu_), "SiLU": lambda: Net(nn.SiLU()), "SiLU in place": lambda: Net(nn.SiLU(inplace=True)),
    "torch.fx": lambda: torch.fx.symbolic_trace(Net(F.relu)), "tanh": lambda: Net(torch.tanh), "a view": lambda: Net(View()),
    "ResNet": lambda: ResNet("basic", [1, 1, 1, 1], [4, 4, 8, 8], spatial_dims=2, n_input_channels=1, num_classes=3),
}  # fmt: skip
NOT_DIVIDED: dict[str, Callable[[], nn.Module]] = {
    "transformer": Sequence, "autograd.Function": lambda: Net(Squash.apply),
    "a gate": lambda: Net(lambda h: h * (1 + h)), "layer norm": lambda: Net(F.relu, nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 3))),
}  # fmt: skip


def cases(count: int, first: int = 0) -> list[Case]:
    g = torch.Generator().manual_seed(1)
    pictures = [torch.randn(1, 16, 16, generator=g) + 0.5 for _ in range(first + count)]
    return [Case(id=f"p{i}", inputs={"x": x}) for i, x in enumerate(pictures)][first:]


def predictor(net: nn.Module) -> Predictor:
    return Predictor(net.eval(), inputs=["x"], task="classification", classes=list("abc"))


def maps(net: nn.Module, method: str) -> list[Attribution]:
    usual = cases(3, 2) if method == "deepshap" else ()
    rows = explain(method, predictor(net), cases(2), [ClassScore(0), ClassScore(2)], background=usual)
    return [a for row in rows for a in row]


@both
@pytest.mark.parametrize("name", SEEN)
def test_every_form_of_activation_is_divided(name: str, method: str) -> None:
    torch.manual_seed(0)
    net = SEEN[name]()
    for a in maps(net, method):
        total = float(a.maps["x"].double().sum())
        assert total == pytest.approx(a.notes["expected"], rel=1e-3, abs=1e-5)
        assert "incomplete" not in a.flags


@both
@pytest.mark.parametrize("name", [*SEEN, *NOT_DIVIDED])
def test_the_output_under_the_rule_is_the_plain_one(name: str, method: str) -> None:
    torch.manual_seed(0)
    net = (SEEN | NOT_DIVIDED)[name]().eval()
    with torch.no_grad():
        plain = net(torch.stack([c.inputs["x"] for c in cases(2)]))
    found = torch.tensor([a.score for a in maps(net, method)]).view(2, 2)
    torch.testing.assert_close(found, plain[:, [0, 2]], rtol=1e-4, atol=1e-5)


@both
@pytest.mark.parametrize("name", NOT_DIVIDED)
def test_what_cannot_be_divided_is_flagged(name: str, method: str) -> None:
    rows = maps(NOT_DIVIDED[name](), method)
    assert any("incomplete" in a.flags for a in rows), "these nets were chosen because the rule misses them"
    for a in rows:
        error = abs(float(a.maps["x"].double().sum()) / a.notes["expected"] - 1)
        assert ("incomplete" in a.flags) == (error > 0.01)


@both
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("compile_it", [torch.jit.script, lambda m: torch.jit.trace(m, torch.zeros(1, 6))], ids=["script", "trace"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_module_that_cannot_be_seen_through_is_refused(method: str, compile_it: Callable, whole: bool) -> None:
    torch.manual_seed(0)
    head = compile_it(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval())
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()
    if whole:
        net = torch.jit.trace(net, torch.zeros(1, 1, 16, 16))
    with pytest.raises(UsageError, match=rf"{method}: .* is scripted or traced \(torch.jit\), so the functions inside"):
        maps(net, method)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "smoothgrad", "occlusion"])
def test_what_needs_no_look_inside_runs_on_a_traced_model(method: str) -> None:
    net = Net(F.relu).eval()
    for a, b in zip(maps(net, method), maps(torch.jit.trace(net, torch.zeros(1, 1, 16, 16)), method)):
        torch.testing.assert_close(a.maps["x"], b.maps["x"], rtol=1e-3, atol=1e-5)
    with pytest.raises(UsageError, match=r".{30}"):
        maps(torch.jit.trace(net, torch.zeros(1, 1, 16, 16)), "grad_cam")


class Mixes(nn.Module):
    """Every case less the mean of the batch: what is beside it matters."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Net(F.relu)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x - x.mean(0, keepdim=True) if len(x) > 1 else x)


class Draws(nn.Module):
    """Dropout that is never switched off."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Net(F.relu)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(F.dropout(x, 0.5, training=True))


@both
@pytest.mark.parametrize("make", [Mixes, Draws])
@pytest.mark.parametrize("first", [(), ("saliency",)])
def test_an_output_that_changes_is_an_error(method: str, make: type[nn.Module], first: tuple[str, ...]) -> None:
    """Alone, by a plain pass of one case; after another method, by the scores which that has left."""
    engine = Engine(predictor(make()), chunk=1)
    problem = Problem(engine, cases(2), [ClassScore(0), ClassScore(2)])
    for name in first:
        attributions(problem, as_explainer(name))
    with pytest.raises(ModelError, match=r"gives .* for case p\d alone and .* beside a baseline: it mixes the cases"):
        attributions(problem, as_explainer(method))


@pytest.mark.parametrize("method", ["lrp", "guided_backprop"])
@pytest.mark.parametrize("first", [(), ("saliency",)])
def test_rules_that_need_no_baseline_prove_the_output_too(method: str, first: tuple[str, ...]) -> None:
    problem = Problem(Engine(predictor(Draws()), chunk=1), cases(2), [ClassScore(0), ClassScore(2)])
    for name in first:
        attributions(problem, as_explainer(name))
    with pytest.raises(ModelError, match=r"gives .* for case p\d alone and .* under .*: a function that"):
        attributions(problem, as_explainer(method))
    engine = Engine(predictor(Net(F.relu)))
    for _ in range(3):
        attributions(Problem(engine, cases(2), [ClassScore(0)]), as_explainer(method))
    assert engine.setup.forwards == 1


def test_the_proof_takes_one_pass_for_a_model_and_none_where_the_scores_are_known() -> None:
    engine = Engine(predictor(Net(F.relu)))
    for _ in range(3):
        attributions(Problem(engine, cases(2), [ClassScore(0)]), as_explainer("deeplift"))
    assert engine.setup.forwards == 1
    engine = Engine(predictor(Net(F.relu)))
    problem = Problem(engine, cases(2), [ClassScore(0)])
    for name in ("saliency", "deeplift"):
        attributions(problem, as_explainer(name))
    assert engine.setup.forwards == 0


def test_a_rule_that_changed_the_output_would_be_found() -> None:
    """A rule made wrong on purpose."""

    class Wrong(Rescale):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = super().__torch_function__(func, types, args, kwargs)
            return out * 1.05 if func is F.relu else out

    problem = Problem(Engine(predictor(Net(F.relu))), cases(2), [ClassScore(0)])
    base = {"x": torch.zeros(2, 1, 16, 16)}
    with pytest.raises(ModelError, match=r"alone and .* beside a baseline"):
        problem.multipliers(base, torch.arange(2)[:, None], Wrong)
    got = problem.engine.gradients(problem.clean, problem.objective, reference=Stream.of(base), rule=Rescale)
    torch.testing.assert_close(got.scores, problem.scores)
