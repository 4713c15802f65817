"""Models whose game over features is known: what the tests of Shapley values, LIME and the game itself run on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor


class Parts(nn.Module):
    """The mean of each part of a picture, and each column of a table, go into one small function of two outputs.

    ``function`` takes ``(n, M)``, the parts in the order of their labels and then the columns, to ``(n, 2)``.
    """

    def __init__(self, labels: Tensor, function: nn.Module) -> None:
        super().__init__()
        ids = labels.unique(return_inverse=True)[1]
        masks = torch.stack([(ids == i).float() for i in range(int(ids.max()) + 1)])
        self.register_buffer("masks", masks / masks.flatten(1).sum(1)[:, None, None])
        self.function = function

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        return self.function(torch.cat([torch.einsum("nchw,khw->nk", image, self.masks), table], 1))


class Twists(nn.Module):
    """Interactions of all orders: two outputs of a layer of tanh and ReLU units."""

    def __init__(self, features: int, seed: int = 0, size: float = 1.5, hidden: int = 12) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.register_buffer("a", torch.randn(features, hidden, generator=g) * size / features**0.5)
        self.register_buffer("b", torch.randn(hidden, generator=g))
        self.register_buffer("c", torch.randn(2 * hidden, 2, generator=g))

    def forward(self, z: Tensor) -> Tensor:
        h = z @ self.a + self.b
        return torch.cat([h.relu(), h.tanh()], 1) @ self.c


class Sum(nn.Module):
    """Additive, but not linear: each feature through a function of its own."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("w", torch.linspace(-2, 3, features))

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([(self.w * z.exp()).sum(1), (self.w.flip(0) * z**3).sum(1)], 1)


ORGANS = torch.tensor([[0, 0, 7, 7], [0, 0, 7, 7], [3, 3, 3, 9], [3, 3, 9, 9]]).repeat_interleave(2, 0).repeat_interleave(2, 1)


def study(columns: int = 3, seed: int = 0) -> Case:
    """A picture with four organs, and a table."""
    g = torch.Generator().manual_seed(seed)
    inputs = {"image": torch.randn(1, 8, 8, generator=g) + 1, "table": torch.randn(columns, generator=g) + 1}
    return Case(id=f"s{seed}", inputs=inputs, regions={"organs": ORGANS}, spacing=(0.7, 0.7))


def predictor(function: nn.Module, *, mean: float = 0.25, columns: int = 3) -> Predictor:
    """Of the picture's organs and the table; the columns' training mean is ``mean``."""
    inner = Parts(ORGANS, function)
    return Predictor(
        Standardised(inner, mean).eval(), inputs=["image", "table"], task="regression",
        normalise={"table": (torch.full((columns,), mean), torch.ones(columns))},
    )  # fmt: skip


class Standardised(nn.Module):
    """Takes the standardised table back to its own units, so that the function sees what the case says."""

    def __init__(self, inner: nn.Module, mean: float) -> None:
        super().__init__()
        self.inner, self.mean = inner, mean

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        return self.inner(image, table + self.mean)
