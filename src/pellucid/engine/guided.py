"""Guided backpropagation's backward rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pellucid.engine.calls import computed, name_of, plain_form
from pellucid.engine.rules import POINTWISE

RECTIFIERS = frozenset(
    {"leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "hardswish"}
)


class Guided(TorchFunctionMode):
    """A rectifier passes the positive part of the gradient, at positive inputs; all else its derivative.

    Rectifiers are the functions that are zero below zero: ReLU, ReLU6, ``clamp(min=0)`` and hardtanh from 0, however
    they are called; with ``smooth``, also leaky ReLU, PReLU, ELU, GELU, SiLU and their kind, which the source does not
    speak of: they pass ``f'(x) · max(G, 0)`` where ``x > 0``.

    Source: springenberg2015striving.

    Attributes:
        guided: how many calls were given the rule.
        others: names of the rectifier-like functions that kept their derivative.
    """

    def __init__(self, *, smooth: bool = False) -> None:
        super().__init__()
        self.smooth = smooth
        self.guided = 0
        self.others: set[str] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Give rectifiers the rule, pass the rest."""
        kwargs = dict(kwargs or {})
        plain, kept, overwrites = plain_form(func, args, kwargs)
        x = args[0] if args else kwargs.get("input")
        if plain not in POINTWISE or not isinstance(x, Tensor) or not computed(x):
            return func(*args, **kwargs)
        name = name_of(plain)
        if not _is_relu(name, args[1:], kept) and not (self.smooth and name in RECTIFIERS):
            if name in RECTIFIERS:
                self.others.add(name)
            return func(*args, **kwargs)
        kept.pop("input", None)
        self.guided += 1
        rest = tuple(a for a in args[1:] if a is not True)
        y = _Guide.apply(x.clone() if overwrites else x, partial(_call, plain, rest, kept))
        return x.copy_(y) if overwrites else y


def _call(func: Callable[..., Tensor], rest: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor) -> Tensor:
    return func(x.clone(), *rest, **kwargs)


def _is_relu(name: str, rest: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call is zero below zero and the identity above (up to an upper limit)."""
    if name in ("relu", "relu6"):
        return True
    if name in ("clamp", "clamp_min", "hardtanh"):
        low = rest[0] if rest else kwargs.get("min", kwargs.get("min_val"))
        return isinstance(low, int | float) and low == 0
    if name == "threshold":
        at = rest[0] if rest else kwargs.get("threshold")
        value = rest[1] if len(rest) > 1 else kwargs.get("value")
        return at == 0 and value == 0
    return False


class _Guide(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        """The function itself; its derivative is kept where the input is positive."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            y = f(leaf)
            (slope,) = torch.autograd.grad(y, leaf, torch.ones_like(y))
        ctx.save_for_backward(torch.where(x > 0, slope, torch.zeros_like(slope)))
        return y.detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """``f'(x) · max(G, 0)`` where ``x > 0``."""
        (slope,) = ctx.saved_tensors
        return slope * F.relu(grad), None
