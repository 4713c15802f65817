"""A copy of a module, whatever it keeps."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def copied(module: nn.Module) -> nn.Module:
    """A deep copy; tensors that hang on a graph are detached in it, the module itself is not touched.

    PyTorch refuses to copy such tensors. A module has them where a forward pass keeps its features
    (``self.features = …``), and where ``torch.nn.utils.weight_norm`` keeps the weight that it computes.

    Raises:
        RuntimeError, TypeError: something else in it cannot be copied.
    """
    known: dict[int, Any] = {
        id(t): t.detach().clone()
        for part in module.modules() for value in vars(part).values() for t in tensors(value) if t.grad_fn is not None
    }  # fmt: skip
    with torch.no_grad():  # else the weights of a scripted module's copy remember where they came from
        return copy.deepcopy(module, known)


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a value, in its lists, tuples and dicts too."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for v in value:
            yield from tensors(v)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))
