"""Inputs that are made when they are needed, so that a thousand perturbed copies never lie in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Stream:
    """A sequence of model inputs.

    Attributes:
        owner: ``(n,)`` int64: to which case of the batch each input belongs.
        make: index tensor to the inputs at these places: name to ``(len(index), …)``, fresh memory each time.
        clean: whether these are the cases themselves, so that targets may be bound on their outputs.
        shape: anything that tells inputs of one memory footprint from those of another.
        base: the clean inputs ``(B, …)`` that these are copies of: where a window of a copy is that of the clean case,
            what is known of it need not be found again.
    """

    owner: Tensor
    make: Callable[[Tensor], dict[str, Tensor]]
    clean: bool = False
    shape: Hashable = None
    base: Mapping[str, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.owner)

    @staticmethod
    def of(inputs: dict[str, Tensor], *, clean: bool = False) -> Stream:
        """The stream of stacked inputs, one per case."""
        count = len(next(iter(inputs.values())))
        return Stream(
            torch.arange(count), lambda i: {k: v[i.to(v.device)] for k, v in inputs.items()}, clean, shape_of(inputs)
        )


def shape_of(inputs: dict[str, Tensor]) -> Hashable:
    """The shapes of one case's inputs."""
    return tuple((k, tuple(v.shape[1:])) for k, v in inputs.items())
