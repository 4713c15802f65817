"""How a linear layer divides relevance among its inputs: epsilon, gamma, alpha-beta, flat and box.

Relevance is carried as a modified gradient ``G = R / x``, so that ``R = x ∘ G`` at every tensor of the model. A rule
is written as stand-ins for the layer's output, each with a graph down to the input: what arrives is divided by the
stand-in and handed back through it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

Absorbed = float | Tensor


@dataclass(frozen=True, eq=False)
class Linear:
    """A layer as ``(x, weight) → output without bias``, its weight, and its bias as it is added to the output."""

    apply: Callable[[Tensor, Tensor], Tensor]
    weight: Tensor
    bias: Tensor | None = None

    @property
    def added(self) -> Tensor:
        """The bias, zero where there is none."""
        return self.weight.new_zeros(()) if self.bias is None else self.bias


class Part(NamedTuple):
    """A stand-in for a layer's output: ``output`` has a graph, ``bias`` is absorbed, ``share`` of R goes this way."""

    output: Tensor
    bias: Tensor
    share: Absorbed


Rule = Callable[[Linear, Tensor, Tensor], list[Part]]


def epsilon_rule(layer: Linear, x: Tensor, y: Tensor) -> list[Part]:  # noqa: ARG001
    """In proportion to ``x_i w_ij`` (Bach et al., 2015)."""
    return [Part(layer.apply(x, layer.weight), layer.added, 1.0)]


def gamma_rule(gamma: float) -> Rule:
    """Weights of the output's sign are strengthened by ``gamma`` (Montavon et al., 2019; any sign of the input)."""

    def rule(layer: Linear, x: Tensor, y: Tensor) -> list[Part]:
        w, b = layer.weight, layer.added
        more, less = w + gamma * w.clamp(min=0), w + gamma * w.clamp(max=0)
        high, low = x.clamp(min=0), x.clamp(max=0)
        return [
            Part(layer.apply(high, more) + layer.apply(low, less), b + gamma * b.clamp(min=0), (y > 0).to(y)),
            Part(layer.apply(high, less) + layer.apply(low, more), b + gamma * b.clamp(max=0), (y < 0).to(y)),
        ]

    return rule


def alpha_beta_rule(alpha: float, beta: float) -> Rule:
    """``alpha`` of R in proportion to the positive products, ``−beta`` to the negative ones; α − β = 1."""

    def rule(layer: Linear, x: Tensor, y: Tensor) -> list[Part]:  # noqa: ARG001
        w, b = layer.weight, layer.added
        up, down = w.clamp(min=0), w.clamp(max=0)
        high, low = x.clamp(min=0), x.clamp(max=0)
        parts = [Part(layer.apply(high, up) + layer.apply(low, down), b.clamp(min=0), alpha)]
        if beta:
            parts.append(Part(layer.apply(high, down) + layer.apply(low, up), b.clamp(max=0), -beta))
        return parts

    return rule


@dataclass(frozen=True)
class Composite:
    """Which rule for convolutions, for batch norms on their own, and for dense layers; the stabiliser of all."""

    convolution: Rule
    norm: Rule
    dense: Rule
    epsilon: float


def composite(name: str, *, epsilon: float, gamma: float) -> Composite:
    """A composite by its name, one of :data:`COMPOSITES`."""
    rule = COMPOSITES[name](gamma)
    # With one input for each output, α = 2 would double the relevance: DenseNet has 120 batch norms on their own.
    norm = alpha_beta_rule(1.0, 0.0) if name == "alpha2_beta1" else rule
    return Composite(rule, norm, epsilon_rule, epsilon)


COMPOSITES: dict[str, Callable[[float], Rule]] = {
    "epsilon_plus": lambda _: alpha_beta_rule(1.0, 0.0),
    "epsilon_gamma": gamma_rule,
    "alpha2_beta1": lambda _: alpha_beta_rule(2.0, 1.0),
    "epsilon": lambda _: epsilon_rule,
}


def divided(relevance: Tensor, z: Tensor, epsilon: float) -> Tensor:
    """``relevance / z``, ``z`` moved away from zero by ``epsilon``; zero where there is nothing to divide by.

    (Else ``1 / ε`` would pile up from layer to layer behind neurons that see nothing.)
    """
    return torch.where(z == 0, torch.zeros_like(z), relevance / (z + torch.where(z < 0, -epsilon, epsilon)))


class Divide(torch.autograd.Function):
    """A linear layer, which divides the relevance of its output among its inputs by a rule.

    What its bias and the stabiliser keep goes to ``ledger``, ``(m, 2)`` for m items of the batch, as a gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, ledger: Tensor, run: Callable[[Tensor], Tensor], layer: Linear, rule: Rule, epsilon: float
    ) -> Tensor:
        """The layer itself."""
        y = run(x)
        ctx.layer, ctx.rule, ctx.epsilon, ctx.items = layer, rule, epsilon, len(ledger)
        # Copies: both may be overwritten by what follows, as in ``y += shortcut``.
        ctx.save_for_backward(x.clone(), y.clone())
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """``G_x = Σ_parts ∂(part)/∂x · share · R_y / part``."""
        x, y = ctx.saved_tensors
        layer = ctx.layer
        arrives = (y * grad).to(layer.weight.dtype)
        kept = torch.zeros_like(arrives)
        with torch.enable_grad():
            leaf = x.detach().to(layer.weight.dtype).requires_grad_()
            parts = ctx.rule(layer, leaf, y)
            seeds = []
            for part in parts:
                seed = part.share * divided(arrives, part.output.detach() + part.bias, ctx.epsilon)
                seeds.append(seed)
                kept = kept + seed * part.bias
            (back,) = torch.autograd.grad([p.output for p in parts], leaf, seeds)
        arrived, left = per_item(arrives, ctx.items), per_item(leaf.detach() * back, ctx.items)
        by_bias = per_item(kept, ctx.items)
        ledger = torch.stack([by_bias, arrived - left - by_bias], 1)
        return back.to(x.dtype), ledger, None, None, None, None


class Pass(torch.autograd.Function):
    """A function of each value, which passes relevance unchanged: ``G_x = G_y · y / x``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ledger: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        """The function itself."""
        y = f(x)
        tiny = x.abs() < 1e-9
        rate = torch.where(tiny, torch.zeros_like(y), y / torch.where(tiny, torch.ones_like(x), x))
        ctx.items = len(ledger)
        # At x = 0 nothing can be handed on: what a function makes of nothing (a sigmoid's ½) is kept like a bias.
        ctx.save_for_backward(rate, torch.where(tiny, y, torch.zeros_like(y)))
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """``G_y · y / x``."""
        rate, lost = ctx.saved_tensors
        kept = per_item(lost * grad, ctx.items)
        return grad * rate, torch.stack([kept, torch.zeros_like(kept)], 1), None


class Keep(torch.autograd.Function):
    """The identity, after a constant has been added: the constant's relevance stays behind."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, ledger: Tensor, constant: Tensor) -> Tensor:
        """``y`` as it is."""
        ctx.items = len(ledger)
        ctx.save_for_backward(constant)
        return y.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """The gradient, and ``constant ∘ G`` to the ledger."""
        (constant,) = ctx.saved_tensors
        kept = per_item(constant * grad, ctx.items)
        return grad, torch.stack([kept, torch.zeros_like(kept)], 1), None


class Instead(torch.autograd.Function):
    """``value``, whose gradient is that of ``stand_in``: the same numbers made in a way that relevance can follow."""

    @staticmethod
    def forward(ctx: Any, stand_in: Tensor, value: Tensor) -> Tensor:  # noqa: ARG004
        """``value``."""
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        """To ``stand_in``."""
        return grad, None


class Share(torch.autograd.Function):
    """The identity, whose gradient is multiplied: what one of several factors of a product is given."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        """``x`` as it is."""
        ctx.share = share
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Its share."""
        return grad * ctx.share, None


def per_item(values: Tensor, items: int) -> Tensor:
    """``(m,)`` sums of a tensor by the items of the batch.

    The batch is the first axis, or folded into it from the outside (windows, heads), or the second (sequences first);
    what fits neither is divided evenly.
    """
    if values.ndim and values.shape[0] == items:
        return values.reshape(items, -1).sum(1)
    if values.ndim > 1 and values.shape[1] == items:
        return values.transpose(0, 1).reshape(items, -1).sum(1)
    if values.ndim and values.shape[0] % items == 0:
        return values.reshape(items, -1).sum(1)
    return values.sum().expand(items) / items
