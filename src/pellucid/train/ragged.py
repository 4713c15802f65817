"""Tensors of several shapes in one piece of memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor


class Ragged(Sequence[Tensor]):
    """A list of tensors of one type, laid one behind another in memory that all processes share.

    Args:
        values: copied.
    """

    def __init__(self, values: Sequence[Tensor]) -> None:
        self.shapes = [tuple(v.shape) for v in values]
        self.ends = list(accumulate(math.prod(s) for s in self.shapes))
        self.flat = torch.cat([v.reshape(-1) for v in values]).share_memory_()

    def __len__(self) -> int:
        return len(self.shapes)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Tensor:  # type: ignore[override]
        end, shape = self.ends[i], self.shapes[i]
        return self.flat[end - math.prod(shape) : end].view(shape)
