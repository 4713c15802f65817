"""What every registered method owes its user, on every kind of model. There is no list of methods to keep."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from torch import nn

from contract.families import FAMILIES, MISFITS, PAIRS, changed, explain, gap, small, usual
from pellucid.core.case import Case
from pellucid.core.explainer import EXPLAINERS
from pellucid.core.target import ClassScore
from pellucid.engine import Engine, Problem
from pellucid.errors import ModelError, UsageError
from pellucid.explain.make import attributions

REAL = [(f, m) for f, m in PAIRS if EXPLAINERS[m].family != "control"]
TARGETED = [(f, m) for f, m in REAL if EXPLAINERS[m].targeted]
PERTURBING = [
    (f, m)
    for f, m in TARGETED
    if "B" not in EXPLAINERS[m].passes and EXPLAINERS[m].shared
]


def rounding(method: str) -> float:
    """What is forgiven as a share of the score: a map made of differences of scores cannot be finer."""
    return 0.0 if "B" in EXPLAINERS[method].passes else 1e-6


both = pytest.mark.parametrize(("family", "method"), PAIRS)
real = pytest.mark.parametrize(("family", "method"), REAL)


@both
def test_maps_are_named_and_shaped_as_the_inputs(family: str, method: str) -> None:
    f, cls = FAMILIES[family], EXPLAINERS[method]
    wanted = [k for k, s in f.shapes.items() if cls.tables or len(s) > 1]
    for case, row in zip(f.cases(), usual(family, method)):
        assert len(row) == len(f.targets)
        for a in row:
            assert list(a.maps) == wanted
            assert a.case_id == case.id
            assert a.spacing == f.spacing
            for name, m in a.maps.items():
                shape = f.shapes[name]
                assert tuple(m.shape) in ({shape} if len(shape) == 1 else {shape, shape[1:]})
                assert m.dtype == torch.float32
                assert not m.requires_grad
                assert torch.isfinite(m).all()
                assert tuple(a.spatial(name).shape) == (shape if len(shape) == 1 else shape[1:])
            assert a.checks["finite"].status == "pass"
            # a method that keeps what speaks for a target alone may find nothing, and says so
            assert ("empty" in a.flags) == all(float(m.abs().max()) == 0 for m in a.maps.values())
        assert any("empty" not in a.flags for a in row)


@both
def test_different_targets_give_different_maps(family: str, method: str) -> None:
    for first, second in usual(family, method):
        assert gap(first, second) > 1e-3 if EXPLAINERS[method].targeted else gap(first, second) == 0


@pytest.mark.parametrize(("family", "method"), MISFITS)
def test_a_method_says_what_it_needs_and_the_model_lacks(family: str, method: str) -> None:
    f = FAMILIES[family]
    with pytest.raises(UsageError, match=r".{30}"):
        explain(method, f.predictor(), f.cases(1), f.targets)


@pytest.mark.parametrize(("family", "method"), [p for p in TARGETED if FAMILIES[p[0]].outputs == 3])
def test_permuting_the_head_permutes_the_maps(family: str, method: str) -> None:
    f, order = FAMILIES[family], [2, 1, 0]
    module = f.module()
    turned = copy.deepcopy(module)
    turned.head.weight.data = module.head.weight.data[order]
    turned.head.bias.data = module.head.bias.data[order]
    kind = type(f.targets[0])
    options = {"region": "image"} if f.task == "segmentation" else {}
    before = explain(small(method), f.predictor(module), f.cases(), [kind(k, **options) for k in (0, 1, 2)])
    after = explain(small(method), f.predictor(turned), f.cases(), [kind(order[k], **options) for k in (0, 1, 2)])
    for x, y in zip(before, after):
        assert max(gap(a, b) for a, b in zip(x, y)) < 1e-5
        assert gap(x[0], x[2]) > 1e-3


@both
def test_a_batch_equals_its_cases_one_by_one(family: str, method: str) -> None:
    f = FAMILIES[family]
    predictor = f.predictor()
    engine = Engine(predictor)  # apart from that of the batch; the first of the three finds it new
    for case, row in zip(f.cases(), usual(family, method, brief=True)):
        (alone,) = explain(small(method), predictor, [case], f.targets, by=engine)
        for a, b in zip(row, alone):
            assert gap(a, b, rounding=rounding(method)) < 1e-5
            assert a.cost.forwards == b.cost.forwards
            assert a.score == pytest.approx(b.score, rel=1e-5, abs=1e-6)


@both
@pytest.mark.parametrize("chunk", [1, 5])
def test_any_chunk_gives_the_same_maps(family: str, method: str, chunk: int) -> None:
    f, few = FAMILIES[family], 1 if chunk == 1 else 3
    rows = explain(small(method), f.predictor(), f.cases(few), f.targets, chunk=chunk)
    for x, y in zip(usual(family, method, brief=True), rows):
        for a, b in zip(x, y):
            assert gap(a, b, rounding=1e-6) < 1e-5


@both
def test_float64_agrees(family: str, method: str) -> None:
    f = FAMILIES[family]
    exact = explain(small(method), f.predictor(), f.cases(), f.targets, precision="float64")
    for x, y in zip(usual(family, method, brief=True), exact):
        assert max(gap(a, b, rounding=rounding(method)) for a, b in zip(x, y)) < 1e-4


@both
def test_the_seed_decides_and_nothing_else(family: str, method: str) -> None:
    f = FAMILIES[family]
    predictor = f.predictor()
    torch.manual_seed(987)
    drawn = EXPLAINERS[method].stochastic
    # What draws nothing is the same by any seed: asked again by another one, once, that is repeated and seed in one.
    again = explain(small(method), predictor, f.cases(), f.targets, seed=0 if drawn else 1)
    for x, y in zip(usual(family, method, brief=True), again):
        assert all(torch.equal(a.maps[k], b.maps[k]) for a, b in zip(x, y) for k in a.maps)
    if drawn:
        other = explain(small(method), predictor, f.cases(), f.targets, seed=1)
        for x, y in zip(usual(family, method, brief=True), other):
            assert min(gap(a, b) for a, b in zip(x, y)) > 1e-4


@both
def test_nothing_is_left_on_the_callers_model_or_tensors(family: str, method: str) -> None:
    f = FAMILIES[family]
    module, cases = f.module(), f.cases()
    next(module.parameters()).requires_grad_(False)
    next(iter(module.head.parameters())).grad = torch.ones_like(next(iter(module.head.parameters())))
    before = _state(module)
    tensors = [{k: v.clone() for k, v in c.inputs.items()} for c in cases]
    explain(small(method), f.predictor(module), cases, f.targets)
    after = _state(module)
    assert before.keys() == after.keys()
    for key, value in before.items():
        same = torch.equal(value, after[key]) if isinstance(value, torch.Tensor) else value == after[key]
        assert same, key
    for case, old in zip(cases, tensors):
        for name, value in case.inputs.items():
            assert torch.equal(value, old[name])
            assert value.grad is None
            assert not value.requires_grad


def _state(module: nn.Module) -> dict[str, object]:
    """Everything about a module that could be left changed."""
    state: dict[str, object] = {k: v.clone() for k, v in module.state_dict().items()}
    for name, p in module.named_parameters():
        state |= {f"{name} requires_grad": p.requires_grad, f"{name} dtype": p.dtype, f"{name} device": p.device}
        state[f"{name} grad"] = None if p.grad is None else p.grad.clone()
    for name, m in module.named_modules():
        state |= {f"{name} training": m.training, f"{name} inplace": getattr(m, "inplace", None)}
        hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        state[f"{name} hooks"] = [len(getattr(m, h)) for h in hooks]
        state[f"{name} attributes"] = sorted(vars(m))
    return state


class _Pass(torch.autograd.Function):
    """The identity, which tells a counter how many rows of a batch a gradient came back for."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor, counter: _Counter) -> torch.Tensor:
        ctx.counter = counter  # type: ignore[attr-defined]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: object, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        ctx.counter.backwards += int((grad.flatten(1) != 0).any(1).sum())  # type: ignore[attr-defined]
        return grad, None


class _Counter:
    """Rows that went through a module forward and backward, whoever sent them."""

    forwards = 0
    backwards = 0

    def __deepcopy__(self, _memo: object) -> _Counter:
        return self


class Counted(nn.Module):
    """A module that counts for itself, in a counter shared by its copies."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.counter = inner, _Counter()

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        self.counter.forwards += len(inputs[0])
        return _Pass.apply(self.inner(*inputs), self.counter)


@both
def test_passes_are_counted_as_they_are_made(family: str, method: str) -> None:
    """By a count of the rows in the model itself, apart from the engine's."""
    f = FAMILIES[family]
    module = Counted(f.module()).eval()
    engine = Engine(f.predictor(module))
    module.counter.forwards = 0
    problem = Problem(engine, f.cases(), f.targets)
    rows = attributions(problem, small(method))
    costs = [row[0].cost for row in rows]
    assert sum(c.forwards for c in costs) == engine.cost.forwards == module.counter.forwards - engine.setup.forwards
    assert sum(c.backwards for c in costs) == engine.cost.backwards == module.counter.backwards
    assert engine.setup.forwards <= 1
    assert all(c.forwards >= 1 for c in costs)


@pytest.mark.parametrize(("family", "method"), PERTURBING)
def test_forwards_do_not_grow_with_the_targets(family: str, method: str) -> None:
    f = FAMILIES[family]
    (one,) = explain(small(method), f.predictor(), f.cases(1), f.targets[:1])
    (many,) = explain(small(method), f.predictor(), f.cases(1), f.targets * 3)
    assert many[0].cost.forwards == one[0].cost.forwards
    assert many[0].cost.backwards == one[0].cost.backwards == 0
    assert gap(many[2], one[0]) < 1e-5


@pytest.mark.parametrize(("family", "method"), TARGETED)
def test_a_constant_model_gives_a_zero_map(family: str, method: str) -> None:
    f = FAMILIES[family]
    module = changed(f.module(), lambda m: m.head.weight.zero_())
    for row in explain(small(method), f.predictor(module), f.cases(), f.targets):
        for a in row:
            assert all(float(m.abs().max()) == 0 for m in a.maps.values())
            assert "empty" in a.flags or "empty_target" in a.flags


@real
def test_other_weights_give_another_map(family: str, method: str) -> None:
    f = FAMILIES[family]
    other = explain(small(method), f.predictor(f.module(seed=5)), f.cases(), f.targets)
    for x, y in zip(usual(family, method, brief=True), other):
        assert min(gap(a, b) for a, b in zip(x, y)) > 0.05


@pytest.mark.parametrize(("family", "method"), [p for p in PAIRS if EXPLAINERS[p[1]].family == "control"])
def test_the_controls_do_not_know_the_model(family: str, method: str) -> None:
    f = FAMILIES[family]
    other = explain(small(method), f.predictor(f.module(seed=5)), f.cases(), f.targets)
    for x, y in zip(usual(family, method, brief=True), other):
        assert max(gap(a, b) for a, b in zip(x, y)) == 0


@pytest.mark.parametrize(("family", "method"), [p for p in PAIRS if FAMILIES[p[0]].task == "classification"])
def test_every_case_of_a_batch_has_its_own_class(family: str, method: str) -> None:
    cases = of_other_classes(family)
    predictor = FAMILIES[family].predictor()
    rows = explain(small(method), predictor, cases, [ClassScore()])
    picked = [row[0].target["index"] for row in rows]
    assert len(set(picked)) > 1
    engine = Engine(predictor)
    for case, k, row in zip(cases, picked, rows):
        ((alone,),) = explain(small(method), predictor, [case], [ClassScore(k)], by=engine)
        assert gap(row[0], alone, rounding=rounding(method)) < 1e-5


@cache
def of_other_classes(family: str) -> list[Case]:
    """Three of six cases, in their order, the first of each class that the model gives among them."""
    f = FAMILIES[family]
    cases = f.cases(6)
    with torch.no_grad():
        given = Engine(f.predictor()).predict(cases).argmax(1).tolist()
    first = {k: i for i, k in reversed(list(enumerate(given)))}
    rest = [i for i in range(6) if i not in first.values()]
    return [cases[i] for i in sorted([*first.values(), *rest][:3])]


@pytest.mark.parametrize(
    ("family", "method"), [p for p in TARGETED if p[0] in ("picture_and_table", "two_pictures")]
)
def test_an_input_that_the_model_ignores_gets_a_zero_map(family: str, method: str) -> None:
    f = FAMILIES[family]
    ignored = list(f.shapes)[1]
    module = changed(f.module(), lambda m: m.head.weight[:, 6:].zero_())
    rows = [a for row in explain(method, f.predictor(module), f.cases(), f.targets) for a in row]
    chance = {id(a): 6 * max(a.notes.get(k, 0.0) for k in ("standard_error", "standard_error_max")) for a in rows}
    for a in rows:  # a difference of two outputs may show their rounding, a sample its own standard error
        size = float(a.maps[ignored].abs().max()) if ignored in a.maps else 0.0
        assert size <= 1e-6 * max(1, abs(a.score)) + chance[id(a)]
    shown = max(float(a.maps[name].abs().max()) for a in rows for name in a.maps if name != ignored)
    hidden = max(float(a.maps[ignored].abs().max()) for a in rows if ignored in a.maps) if ignored in rows[0].maps else 0.0
    # no fixed size: a variance is in the square of the gradient's unit
    assert shown > max(1e-7, (2 if any(chance.values()) else 20) * hidden)


@both
def test_an_output_that_is_not_finite_is_refused(family: str, method: str) -> None:
    f = FAMILIES[family]
    module = changed(f.module(), lambda m: m.head.bias.fill_(float("nan")))
    with pytest.raises(ModelError, match="NaN or infinite"):
        explain(small(method), f.predictor(module), f.cases(), f.targets)


@both
def test_a_model_in_train_mode_is_explained_in_eval_mode(family: str, method: str) -> None:
    f = FAMILIES[family]
    module = f.module().train()
    with pytest.warns(UserWarning, match="train mode"):
        rows = explain(small(method), f.predictor(module), f.cases(), f.targets)
    assert all(m.training for m in module.modules())
    for x, y in zip(usual(family, method, brief=True), rows):
        assert max(gap(a, b) for a, b in zip(x, y)) == 0
