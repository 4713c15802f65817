"""The same architecture with weights that have learned nothing, in whole or layer by layer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pellucid.core.case import Case
from pellucid.core.module_copy import tensors
from pellucid.core.predictor import Predictor
from pellucid.engine.engine import Engine
from pellucid.errors import UsageError

_ENGINES: WeakKeyDictionary[Engine, dict[int, Engine]] = WeakKeyDictionary()
_OTHERS: WeakKeyDictionary[Engine, dict[int, Engine]] = WeakKeyDictionary()
_SCRATCH: WeakKeyDictionary[Engine, Scratch] = WeakKeyDictionary()
_ORDERS: WeakKeyDictionary[Engine, dict[Any, list[Layer]]] = WeakKeyDictionary()


def randomised(engine: Engine, seed: int) -> Engine:
    """An engine around the randomised model, made once per engine and seed and then kept with it."""
    known = _ENGINES.setdefault(engine, {})
    if seed not in known:
        known[seed] = engine.like(randomise(engine.predictor, seed))
    return known[seed]


def around(engine: Engine, predictor: Predictor) -> Engine:
    """An engine like another one around another predictor, made once and then kept with it."""
    known = _OTHERS.setdefault(engine, {})
    if id(predictor) not in known:  # which the engine that is kept holds alive, so the number stays its own
        known[id(predictor)] = engine.like(predictor)
    return known[id(predictor)]


def check_alike(predictor: Predictor, other: Predictor) -> None:
    """Raise UsageError unless a predictor trained on shuffled labels does what the one that is explained does."""
    for what, a, b in (
        ("inputs", predictor.inputs, other.inputs), ("task", predictor.task, other.task),
        ("classes", predictor.classes, other.classes),
    ):  # fmt: skip
        if a != b:
            raise UsageError(
                f"shuffled: its {what} are {b!r}, those of the explained model are {a!r}; give the same network "
                "trained on shuffled labels"
            )


def randomise(predictor: Predictor, seed: int) -> Predictor:
    """The predictor around a copy of its module with every parameter drawn anew (independent of what was learned).

    Matrices and kernels are drawn from ``N(0, rms²)`` with the root mean square of the old values, so that the
    size of the activations stays about the same; biases and scales (one axis) are permuted, so that a scale stays
    positive. Buffers, such as the statistics of batch norm, are kept: they describe the data's scale, and without
    them deep networks saturate. Weights that two layers share stay shared, and the row of an embedding that stands for
    padding stays as it is. Source: adebayo2018sanity.
    """

    def change(module: nn.Module) -> nn.Module:
        new = drawn(module, seed)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if name in new:
                    parameter.copy_(new[name])
        return module.eval()

    return predictor.with_module(change)


def drawn(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """New values of all parameters by name, on the CPU; those that layers share are there once."""
    generator = torch.Generator().manual_seed(seed)
    padding = {
        f"{name}.weight".lstrip("."): m.padding_idx
        for name, m in module.named_modules()
        if isinstance(m, nn.Embedding | nn.EmbeddingBag) and m.padding_idx is not None
    }
    found: dict[str, Tensor] = {}
    for name, p in module.named_parameters():
        if p.is_floating_point() or p.is_complex():
            found[name] = _redrawn(p.detach().cpu(), generator)
            if name in padding:
                found[name][padding[name]] = p.detach()[padding[name]].cpu()
    return found


def _redrawn(p: Tensor, generator: torch.Generator) -> Tensor:
    if p.is_complex():
        return torch.view_as_complex(_redrawn(torch.view_as_real(p.resolve_conj()).contiguous(), generator))
    if p.ndim >= 2:
        rms = p.double().square().mean().sqrt()
        return (torch.randn(p.shape, generator=generator, dtype=torch.double) * rms).to(p)
    return p.flatten()[torch.randperm(p.numel(), generator=generator)].view_as(p)


@dataclass(frozen=True)
class Layer:
    """A sub-module with parameters of its own, or a parameter that a container of layers holds itself.

    Attributes:
        name: as in ``module.named_modules()``, or the parameter's.
        parameters: their names, as in ``module.named_parameters()``.
    """

    name: str
    parameters: tuple[str, ...]


def run_order(engine: Engine, case: Case) -> list[Layer]:
    """The layers with parameters in the order in which the model first uses them, found by one pass of the case.

    It is the use of the tensors that is watched, so it depends neither on names, nor on the order in which layers were
    registered, nor on whether a layer is called or its weights are taken from it. A parameter that is not used is in
    no layer. Once per engine and shapes of the inputs.
    """
    key = tuple(tuple(case.inputs[name].shape) for name in engine.predictor.inputs)
    known = _ORDERS.setdefault(engine, {})
    if key not in known:
        with _Uses(engine.module) as uses:
            engine.outputs([case])
        layers: dict[str, list[str]] = {}
        for name in uses.order:
            layers.setdefault(_owner(engine.module, name), []).append(name)
        known[key] = [Layer(name, tuple(own)) for name, own in layers.items()]
    return known[key]


def _owner(module: nn.Module, parameter: str) -> str:
    """The layer that a parameter belongs to; of one that a container of layers holds itself, its own name."""
    first = parameter.partition(".parametrizations.")[0]
    if first != parameter:
        return first
    owner = parameter.rpartition(".")[0]
    holder = module.get_submodule(owner)
    children = [m for name, m in holder.named_children() if name != "parametrizations"]
    inside = any(True for child in children for _ in child.parameters())
    return parameter if not owner or (inside and not isinstance(holder, nn.MultiheadAttention)) else owner


class _Uses(TorchDispatchMode):
    """While active, notes the parameters of a module in the order in which an operation first takes them."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.names = {id(p): name for name, p in module.named_parameters()}
        self.order: dict[str, None] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any,
        args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for tensor in tensors([args, kwargs or {}]):
            name = self.names.get(id(tensor))
            if name is not None:
                self.order.setdefault(name)
        return func(*args, **(kwargs or {}))


class Scratch:
    """One further copy of a model, whose weights are set to those of one randomised model after the other.

    A cascade over twenty layers thus holds one copy and one set of drawn weights, whatever the number of layers and of
    cases, and what the engine knows of the architecture (layers, memory) is found out once.
    """

    def __init__(self, engine: Engine) -> None:
        predictor = copy.copy(engine.predictor)
        predictor.module = engine.module
        self.engine = engine.like(predictor)
        self.engine.__dict__["weights"] = "randomised"  # in place of a hash over all weights for each model
        self.learned = engine.module
        self.own = dict(engine.module.named_parameters())
        self.seed: int | None = None
        self.new: dict[str, Tensor] = {}
        self.now: dict[str, int | None] = dict.fromkeys(self.own)

    def with_random(self, names: Collection[str], seed: int) -> Engine:
        """The engine, until the next call: random weights in the named parameters, the learned ones elsewhere."""
        if seed != self.seed:
            self.new, self.seed = drawn(self.learned, seed), seed
        with torch.no_grad():
            for name, parameter in self.engine.module.named_parameters():
                wanted = seed if name in names and name in self.new else None
                if self.now[name] != wanted:
                    parameter.copy_(self.own[name] if wanted is None else self.new[name])
                    self.now[name] = wanted
        return self.engine


def scratch(engine: Engine) -> Scratch:
    """The scratch copy of an engine's model, made once and kept with the engine."""
    if engine not in _SCRATCH:
        _SCRATCH[engine] = Scratch(engine)
    return _SCRATCH[engine]
