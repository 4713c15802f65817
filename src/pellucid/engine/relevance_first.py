"""Rules for the layer that sees the picture itself: flat and box.

They give relevance to pixels that are zero, so that it cannot be carried as ``R / x``: it is handed to a second leaf.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.engine.relevance_rules import Linear, divided, per_item


@dataclass(eq=False)
class Picture:
    """An input of which the first layer has a rule of its own.

    Attributes:
        leaf: what the engine differentiates by.
        relevance: zeros of the same shape that require a gradient: as such they receive the relevance.
        low, high: least and greatest value, as the network sees them, broadcastable; None for the flat rule.
        normalised: whether the engine shows the network ``(leaf − mean) / sd``.
        used: whether a layer was found.
    """

    leaf: Tensor
    relevance: Tensor
    low: Tensor | None
    high: Tensor | None
    normalised: bool
    used: bool = field(default=False)

    def is_seen_as(self, x: Tensor) -> bool:
        """Whether ``x`` is this input as the engine shows it to the network, with nothing in between."""
        node = x.grad_fn
        steps: list[str] = []
        while node is not None and len(steps) < 6:
            if hasattr(node, "variable"):
                wanted = ["DivBackward0", "SubBackward0", "CloneBackward0"] if self.normalised else ["CloneBackward0"]
                return node.variable is self.leaf and steps == wanted
            if node.name() != "KeepBackward":
                steps.append(node.name())
            node = node.next_functions[0][0] if node.next_functions else None
        return False


class DivideFirst(torch.autograd.Function):
    """A linear layer on the picture, which gives its relevance to the picture's second leaf.

    Flat: evenly to all the pixels that a neuron sees. Box (zᴮ): in proportion to ``x_i w_ij − l_i w⁺_ij − h_i w⁻_ij``,
    the distance to the value between the limits that speaks least for the neuron (montavon2017explaining); biases
    cancel.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, relevance: Tensor, ledger: Tensor, run: Callable[[Tensor], Tensor], layer: Linear,  # noqa: ARG004
        picture: Picture, epsilon: float,
    ) -> Tensor:  # fmt: skip
        """The layer itself."""
        y = run(x)
        ctx.layer, ctx.picture, ctx.epsilon, ctx.items = layer, picture, epsilon, len(ledger)
        ctx.save_for_backward(x.clone(), y.clone())
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Relevance to the second leaf, nothing to the first."""
        x, y = ctx.saved_tensors
        w, low, high = ctx.layer.weight, ctx.picture.low, ctx.picture.high
        arrives = (y * grad).to(w.dtype)
        x = x.to(w.dtype)
        if low is None or high is None:
            terms = [(torch.ones_like(x), torch.ones_like(w), 1.0)]
        else:
            terms = [
                (x, w, 1.0),
                (low.to(x).expand_as(x).contiguous(), w.clamp(min=0), -1.0),
                (high.to(x).expand_as(x).contiguous(), w.clamp(max=0), -1.0),
            ]
        with torch.enable_grad():
            leaves = [v.detach().clone().requires_grad_() for v, _, _ in terms]
            outputs = [ctx.layer.apply(v, weight) for v, (_, weight, _) in zip(leaves, terms)]
        total = torch.stack([sign * o.detach() for o, (_, _, sign) in zip(outputs, terms)]).sum(0)
        seed = divided(arrives, total, ctx.epsilon)
        backs = torch.autograd.grad(outputs, leaves, [seed] * len(outputs))
        found = torch.stack([sign * v.detach() * g for v, g, (_, _, sign) in zip(leaves, backs, terms)]).sum(0)
        lost = per_item(arrives, ctx.items) - per_item(found, ctx.items)
        ledger = torch.stack([torch.zeros_like(lost), lost], 1)
        return torch.zeros_like(grad.new_empty(x.shape)), found, ledger, None, None, None, None
