"""Backward rules other than the derivative, put on functions, not on modules.

Peers hook modules, so a ``torch.relu`` in ``forward``, or one ReLU module used twice, escapes them or breaks them.
A torch function mode sees every call, whoever makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

POINTWISE = frozenset(
    {
        F.relu, torch.relu, Tensor.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish,
        F.softplus, F.softsign, F.hardtanh, F.hardswish, F.hardsigmoid, F.logsigmoid, F.prelu, torch.prelu,
        F.sigmoid, torch.sigmoid, Tensor.sigmoid, F.tanh, torch.tanh, Tensor.tanh, torch.exp, Tensor.exp,
        torch.selu, torch.celu, torch.rrelu, F.rrelu, F.threshold, F.tanhshrink, F.hardshrink, F.softshrink,
        torch.special.expit, torch.clamp, Tensor.clamp, torch.clamp_min, Tensor.clamp_min, torch.square,
        Tensor.square, torch.pow, Tensor.pow, Tensor.__pow__, torch.abs, Tensor.abs, torch.sqrt, Tensor.sqrt,
        torch.log, Tensor.log, torch.sin, Tensor.sin, torch.cos, Tensor.cos, torch.erf, Tensor.erf,
    }
)  # fmt: skip
# ``torch.relu_`` and its kind: the same function, which also overwrites its argument.
OVERWRITING = {
    getattr(home, f.__name__ + "_"): f
    for f in POINTWISE for home in (torch, F, Tensor) if hasattr(home, f.__name__ + "_")
}  # fmt: skip
SELECTING = frozenset(
    {
        torch.max_pool1d, torch.max_pool2d, torch.max_pool3d, F.max_pool1d, F.max_pool2d, F.max_pool3d,
        F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d, torch.amax, Tensor.amax,
    }
)  # fmt: skip


class Rescale(TorchFunctionMode):
    """DeepLIFT's rescale rule: a non-linearity passes ``Δout / Δin`` in place of its derivative.

    The batch that runs inside is ``[x; baseline]``, halves of equal length. The derivative stands in where the two
    inputs hardly differ. Max-pooling is divided between the positions that won in ``x`` and in the baseline, so that
    the sum is kept (Shrikumar et al., 2017; the pooling rule is that of Lundberg's DeepExplainer).

    Source: shrikumar2017learning.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace the non-linear functions, pass the rest."""
        kwargs = dict(kwargs or {})
        overwrite = func in OVERWRITING or bool(kwargs.get("inplace")) or any(a is True for a in args[1:])
        plain = OVERWRITING.get(func, func)
        kind = _PointwiseRule if plain in POINTWISE else _SelectingRule if plain in SELECTING else None
        x = args[0] if args else kwargs.get("input")
        if kind is None or not isinstance(x, Tensor) or not x.is_floating_point() or kwargs.get("return_indices"):
            return func(*args, **kwargs)
        rest = (*args[1:], *kwargs.values())
        if any(isinstance(a, Tensor) and a.requires_grad for a in rest):
            return func(*args, **kwargs)  # a power whose exponent is computed too: not a function of one input
        kwargs.pop("inplace", None)
        kwargs.pop("input", None)
        if kind is _PointwiseRule and overwrite:
            return x.copy_(kind.apply(x.clone(), partial(_call, plain, args[1:], kwargs)))
        return kind.apply(x, partial(_call, plain, args[1:], kwargs))


def _call(func: Callable[..., Tensor], rest: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor) -> Tensor:
    return func(x.clone(), *rest, **kwargs)  # a clone, so that an in-place form leaves the recorded input alone


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    half = x.shape[0] // 2
    return x[:half], x[half:]


class _Rule(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        """The function itself."""
        y = f(x)
        ctx.f = f
        ctx.save_for_backward(x, y)
        return y


class _PointwiseRule(_Rule):
    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """``Δout / Δin``, or the derivative where ``Δin`` is tiny."""
        x, y = ctx.saved_tensors
        (xa, xb), (ya, yb), (ga, _) = _halves(x), _halves(y), _halves(grad)
        step = xa - xb
        small = step.abs() < 1e-6 * (1 + xa.abs())
        with torch.enable_grad():
            leaf = xa.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.f(leaf).sum(), leaf)
        rate = torch.where(small, slope, (ya - yb) / torch.where(small, torch.ones_like(step), step))
        return torch.cat([ga * rate, torch.zeros_like(ga)]), None


class _SelectingRule(_Rule):
    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """What the winner in ``x`` gained over the baseline's, divided by how far that position moved."""
        x, y = ctx.saved_tensors
        (xa, xb), (ya, yb), (ga, _) = _halves(x), _halves(y), _halves(grad)
        higher = torch.maximum(ya, yb)

        def back(at: Tensor, seed: Tensor) -> Tensor:
            with torch.enable_grad():
                leaf = at.detach().requires_grad_()
                (out,) = torch.autograd.grad(ctx.f(leaf), leaf, seed)
            return out

        step = xa - xb
        small = step.abs() < 1e-7
        moved = back(xa, ga * (higher - yb)) + back(xb, ga * (ya - higher))
        rate = torch.where(small, back(xa, ga), moved / torch.where(small, torch.ones_like(step), step))
        return torch.cat([rate, torch.zeros_like(rate)]), None
