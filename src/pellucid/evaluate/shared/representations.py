"""What the model makes of a case inside: the input of its head, found by running it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from pellucid.core.case import Case
from pellucid.engine import layers
from pellucid.engine.problem import Problem
from pellucid.errors import UsageError, nearest
from pellucid.evaluate.undefined import Undefined

HEADS = (nn.Linear, _ConvNd, nn.Bilinear)
Held = dict[str, Tensor]


def representations(problem: Problem, cases: Sequence[Case], layer: str | None = None) -> Tensor:
    """``(n, F)`` float64, one row per case: one forward each.

    Without a layer it is what the last linear or convolutional module to run is given: the pooled features of a
    classifier, the class token of a transformer, the joint features of several inputs, the last feature maps of a
    segmentation. With one, it is what that module returns.

    Args:
        problem: of the clean case, bound.
        cases: of its shape.
        layer: as in ``module.named_modules()``.

    Raises:
        UsageError: no such layer.
        Undefined: the model has no such module, mixes the cases of a batch, or runs in windows.
    """
    module, engine = problem.engine.module, problem.engine
    if layer is not None and layer not in dict(module.named_modules()):
        raise UsageError(f"the model has no layer {layer!r}; {nearest(layer, dict(module.named_modules()))}")
    record = _head_input(module) if layer is None else _output_of(module, layer)
    inputs = engine.stack(cases)
    if engine.windowed(inputs):
        raise Undefined("the model runs in windows, and inside the network each window has features of its own")
    stream = problem.stream(
        torch.zeros(len(cases), dtype=torch.long), lambda i: {k: v[i.to(v.device)] for k, v in inputs.items()}
    )
    _, found, _ = engine.captured(stream, problem.objective, record, gradients=False)
    if not found:
        what = "the model runs no linear or convolutional module" if layer is None else f"layer {layer!r} is not run"
        raise Undefined(what)
    (value,) = found.values()
    if value.numel() % len(cases) or len(value) % len(cases):
        raise Undefined("the layer's output is not one row per case")
    return value.reshape(len(cases), -1).double().cpu()


def _head_input(module: nn.Module) -> Callable[[Held], AbstractContextManager[Any]]:
    @contextmanager
    def record(held: Held) -> Iterator[None]:
        def keep(_module: nn.Module, given: tuple[Any, ...]) -> None:
            if given and isinstance(given[0], Tensor):
                held["head"] = given[0].detach()  # the last one to run stays

        handles = [m.register_forward_pre_hook(keep) for m in module.modules() if isinstance(m, HEADS)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    return record


def _output_of(module: nn.Module, layer: str) -> Callable[[Held], AbstractContextManager[Any]]:
    def record(held: Held) -> AbstractContextManager[Any]:
        def keep(name: str, out: Tensor) -> None:
            if name == layer:
                held[name] = out.detach().clone()  # what follows may work in place

        return layers.tap(module, keep)

    return record
