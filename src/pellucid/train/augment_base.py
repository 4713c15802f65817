"""What a random change of a batch is, and what all of them share."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from pellucid.errors import UsageError

Batch = dict[str, Tensor]
MISSING = "missing:"
"""Before an input's name, the key of a batch ``(B,)`` bool: which cases lack it. Absent where none does."""


class Augmentation(Protocol):
    """Changes pictures ``(B, C, *spatial)`` and a mask ``(B, *spatial)``; draws from ``generator`` on the CPU."""

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """The changed pictures and mask."""
        ...


def uniform(n: int, generator: torch.Generator) -> Tensor:
    """``n`` numbers from −1 to 1."""
    return 2 * torch.rand(n, generator=generator) - 1


def wide(values: Tensor, like: Tensor) -> Tensor:
    """One value per case, in the type and on the device of ``like``, with as many axes."""
    return values.to(like).reshape(-1, *[1] * (like.ndim - 1))


def bounds(x: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest value and range of each case ``(B, 1, …)``: changes of grey are counted in these."""
    dims = tuple(range(1, x.ndim))
    low = x.amin(dims, keepdim=True)
    return low, x.amax(dims, keepdim=True) - low


def places(spatial: tuple[int, ...]) -> Tensor:
    """Where the pixels of a 2-D picture lie, row and column as shares of its height and width: ``(2, H, W)``."""
    return torch.stack(torch.meshgrid(*((torch.arange(s) + 0.5) / s for s in spatial), indexing="ij"))


def want_2d(name: str, images: Batch) -> None:
    """Raise UsageError if a picture is not 2-D."""
    for key, x in images.items():
        if x.ndim != 4:
            axes = x.ndim - 2
            raise UsageError(f"augment {name!r} is for 2-D pictures, {key!r} has {axes} spatial axes; leave it out")
