"""Random masks of low resolution, upsampled linearly and shifted at random."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_AT_ONCE = 1 << 20  # random numbers drawn at a time


@dataclass(frozen=True, eq=False)
class SoftMasks:
    """``N`` masks of one input with values in [0, 1], kept as their cells and made when they are needed.

    A cell is on with probability p. Cells lie on a lattice that is one cell wider than the picture on either side and
    shifted by less than a cell, so that the border is covered like the middle: everywhere the mean of a mask is p.

    Attributes:
        cells: ``(N, *points)`` bool, ``points = grid + 2`` along each axis; ``(N, F)`` for a table, column by column.
        shift: ``(N, axes)`` in cells; without axes for a table.
        shape: ``(*spatial)`` or ``(F,)``.
    """

    cells: Tensor
    shift: Tensor
    shape: tuple[int, ...]

    @staticmethod
    def draw(
        count: int, shape: tuple[int, ...], grid: tuple[int, ...], p: float, generator: torch.Generator
    ) -> SoftMasks:
        """``count`` masks; ``grid`` is the number of cells along each axis, empty for a table."""
        shift = torch.rand((count, len(grid)), generator=generator)
        points = tuple(g + 2 for g in grid) or shape
        step = max(1, _AT_ONCE // torch.Size(points).numel())
        cells = [
            torch.rand((min(step, count - start), *points), generator=generator) < p
            for start in range(0, count, step)
        ]
        return SoftMasks(torch.cat(cells), shift, shape)

    def __len__(self) -> int:
        return len(self.cells)

    def __call__(self, index: Tensor, like: Tensor) -> Tensor:
        """The masks at these places, ``(len(index), *shape)``, of the type and on the device of ``like``."""
        value = self.cells[index].to(like)
        for axis, length in enumerate(self.shape if self.shift.shape[1] else ()):
            points = self.cells.shape[axis + 1]
            centre = (torch.arange(length).to(like) + 0.5) * ((points - 2) / length)
            at = centre + self.shift[index, axis, None].to(like)  # (n, length), in cells
            hat = (1 - (at[:, None] - torch.arange(points).to(like)[:, None]).abs()).clamp(min=0)
            rest = value.shape[2:]
            # The leading axis is upsampled and becomes the last; after one turn each, the order is the old one.
            value = torch.bmm(value.flatten(2).transpose(1, 2) if rest else value[:, None], hat)
            value = value.reshape(len(index), *rest, length)
        return value
