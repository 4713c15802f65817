"""Windows that become smaller from level to level, over all inputs of a case."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

import torch
from torch import Tensor

from pellucid.core.explainer import require
from pellucid.explain.perturbation.windows import Sides, Window, check_sizes, per_axis, starts

Sizes = tuple[tuple[int, ...], tuple[int, ...]]  # sides, strides
Given = tuple[tuple[Sides, Sides], ...]


def default_levels(shape: tuple[int, ...], least: int) -> list[Sizes]:
    """From half of each axis on, halved while the half is not under ``least``; strides of a quarter of the side.

    Example:
        >>> [(w[0], s[0]) for w, s in default_levels((224, 224), 7)]
        [(112, 28), (56, 14), (28, 7), (14, 3), (7, 1)]
    """
    found: list[Sizes] = []
    sides = tuple(max(1, n // 2) for n in shape)
    while not found or sides != found[-1][0]:
        found.append((sides, tuple(max(1, s // 4) for s in sides)))
        sides = tuple(s // 2 if s // 2 >= least else s for s in sides)
    return found


def given_levels(name: str, shape: tuple[int, ...], levels: Given, least: int) -> list[Sizes]:
    """Levels as a user gives them, checked against a picture.

    Raises:
        UsageError: a window larger than the picture or under ``least``, a stride larger than the window, a level
            whose windows are not smaller than those before it.
    """
    found: list[Sizes] = []
    for window, stride in levels:
        sides, strides = per_axis("window", window, shape, ()), per_axis("stride", stride, shape, ())
        check_sizes(name, shape, sides, strides)
        require(min(strides) >= 1, f"levels: stride {strides}: give 1 pixel or more")
        require(
            min(sides) >= least,
            f"levels: window {sides} is smaller than min_window={least}; give larger windows, or another min_window",
        )
        before = found[-1][0] if found else ()
        require(
            not before or (sides != before and all(a <= b for a, b in zip(sides, before))),
            f"levels: windows {sides} follow windows {before}; each level needs smaller ones than the level before",
        )
        found.append((sides, strides))
    return found


@dataclass(frozen=True, eq=False)
class Layer:
    """The windows of one input at one level, in the order of their corners.

    Attributes:
        name: of the input.
        shape: of its map.
        corners: ``(n, axes)``, the first pixel of each window.
        ends: ``(n, axes)``, one past its last pixel: windows are clipped at the border.
        places: ``(n, axes)``, which one along each axis it is.
        volume: pixels of a window that is not clipped.
        widest: largest number of steps from one window to the next one beside it that leaves no pixel out.
        image: whether the input is a picture, with a channel axis in front.
    """

    name: str
    shape: tuple[int, ...]
    corners: Tensor
    ends: Tensor
    places: Tensor
    volume: int
    widest: int
    image: bool

    @staticmethod
    def of_picture(name: str, shape: tuple[int, ...], sizes: Sizes) -> Layer:
        """Windows of a size over a picture."""
        sides, strides = sizes
        along = starts(shape, sides, strides)
        corners = torch.cartesian_prod(*map(torch.tensor, along)).view(-1, len(shape))
        ends = torch.minimum(corners + torch.tensor(sides), torch.tensor(shape))
        widest = max(a // b for a, b in zip(sides, strides))
        return Layer(name, shape, corners, ends, corners // torch.tensor(strides), prod(sides), widest, True)

    @staticmethod
    def of_table(name: str, count: int) -> Layer:
        """The columns of a table, each a window."""
        corners = torch.arange(count)[:, None]
        return Layer(name, (count,), corners, corners + 1, corners, 1, 1, False)

    def __len__(self) -> int:
        return len(self.corners)

    def box(self, i: int) -> tuple[slice, ...]:
        """Where window ``i`` lies on the map."""
        return tuple(slice(a, b) for a, b in zip(self.corners[i].tolist(), self.ends[i].tolist()))

    def window(self, i: int) -> Window:
        """The same on the input."""
        return self.name, (slice(None), *self.box(i)) if self.image else self.box(i)

    def touching(self, mask: Tensor) -> Tensor:
        """Which windows ``(n,)`` touch a mask of the map's shape: a summed-area table, read at their corners."""
        table = torch.nn.functional.pad(mask.to(torch.int64), [1, 0] * mask.ndim)
        for axis in range(mask.ndim):
            table = table.cumsum(axis)
        inside = torch.zeros(len(self), dtype=torch.int64)
        for far in product((False, True), repeat=mask.ndim):
            at = torch.where(torch.tensor(far), self.ends, self.corners)
            inside += (-1) ** far.count(False) * table[tuple(at.T)]
        return inside > 0


@dataclass(frozen=True, eq=False)
class Pyramid:
    """All windows over the inputs of a case. Inputs may have different numbers of levels; a table has one.

    Attributes:
        towers: of each input its layers, the coarsest first.
    """

    towers: dict[str, list[Layer]]

    @staticmethod
    def over(inputs: dict[str, Tensor], levels: Given | None, least: int) -> Pyramid:
        """Over inputs ``(B, C, *spatial)`` or ``(B, F)``, by default levels or given ones."""
        towers = {}
        for name, x in inputs.items():
            shape = tuple(x.shape[2:])
            if not shape:
                towers[name] = [Layer.of_table(name, x.shape[1])]
            else:
                sizes = default_levels(shape, least) if levels is None else given_levels(name, shape, levels, least)
                towers[name] = [Layer.of_picture(name, shape, s) for s in sizes]
        return Pyramid(towers)

    @cached_property
    def levels(self) -> list[list[Layer]]:
        """Of each level, the layers of the inputs that have it."""
        deepest = max(len(t) for t in self.towers.values())
        return [[t[i] for t in self.towers.values() if i < len(t)] for i in range(deepest)]

    @property
    def finest(self) -> list[Layer]:
        """Of each input, what dense occlusion would run."""
        return [t[-1] for t in self.towers.values()]

    @cached_property
    def offsets(self) -> list[int]:
        """Of each level, the number of its first window when all are counted."""
        sizes = [sum(len(one) for one in layers) for layers in self.levels]
        return [sum(sizes[:i]) for i in range(len(sizes))]

    def window(self, number: int) -> Window:
        """A window by its number."""
        for one in (one for layers in self.levels for one in layers):
            if number < len(one):
                return one.window(number)
            number -= len(one)
        raise IndexError(number)

    def steps(self, level: int) -> list[int]:
        """Powers of two down to 1: the first is the largest at which the windows still lie side by side."""
        widest = max(one.widest for one in self.levels[level])
        return [1 << k for k in reversed(range(widest.bit_length()))]
