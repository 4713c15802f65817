"""Gradients of many inputs, added up by the case that each belongs to."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Transform = Callable[[Tensor, dict[str, Tensor]], dict[str, Tensor]]


class Sums:
    """Running sums of gradients, and of their squares if asked for.

    Args:
        count: cases.
        weights: ``(n,)``, of each input in its case's sum; ones if None.
        transform: ``(index, gradients (m, T, *shape)) → the same``, before the sum.
        square: whether to sum the squares as well; both sums are in float64 then.

    Attributes:
        sums: input name to ``(count, T, *shape)``.
        squares: the same of the squares.
    """

    def __init__(
        self, count: int, *, weights: Tensor | None, transform: Transform | None, square: bool
    ) -> None:
        self.count, self.weights, self.transform, self.square = count, weights, transform, square
        self.sums: dict[str, Tensor] = {}
        self.squares: dict[str, Tensor] = {}

    def add(self, grads: dict[str, Tensor], owner: Tensor, index: Tensor) -> None:
        """Add gradients ``(m, T, *shape)`` of the inputs ``index``, which belong to the cases ``owner``."""
        if self.transform is not None:
            grads = self.transform(index, grads)
        if self.square:  # a variance is the difference of the two sums: in float32 it would drown in their rounding
            grads = {k: g.double() for k, g in grads.items()}
        squared = {k: g * g for k, g in grads.items()} if self.square else {}
        if self.weights is not None:
            w = self.weights[index]
            grads = {k: g * _column(w, g) for k, g in grads.items()}
            squared = {k: g * _column(w, g) for k, g in squared.items()}
        # Nothing is added before all of the chunk is there: it may run out of memory and be run again, halved.
        for into, values in ((self.sums, grads), (self.squares, squared)):
            for name, g in values.items():
                if name not in into:
                    into[name] = g.new_zeros((self.count, *g.shape[1:]))
        for into, values in ((self.sums, grads), (self.squares, squared)):
            for name, g in values.items():
                into[name].index_add_(0, owner.to(g.device), g)


def _column(w: Tensor, like: Tensor) -> Tensor:
    """``(n,)`` weights, broadcastable with ``(n, …)``."""
    return w.to(like).view(-1, *[1] * (like.ndim - 1))
