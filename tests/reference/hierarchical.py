"""Slow literal twin of the hierarchical occlusion of the MRI study: a recursion, one window at a time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

Level = tuple[int, int]


def seed(
    label: Callable[[NDArray], int], x: NDArray, fill: NDArray, levels: list[Level]
) -> tuple[NDArray, int]:
    """The map of ``x`` ``(C, *spatial)``, and how many windows were tried.

    A window flips the label or not. If it does, every pixel of it has 1 at its level, and all windows of the next
    level that start inside it are tried. The map is the sum over the levels.
    """
    shape, clean = x.shape[1:], label(x)
    maps = [np.zeros(shape) for _ in levels]
    tried: set[tuple[int, tuple[int, ...]]] = set()

    def inside(corner: tuple[int, ...], side: int) -> list[tuple[int, ...]]:
        return [v for v in np.ndindex(*shape) if all(c <= p < c + side for c, p in zip(corner, v))]

    def occlude(level: int, corner: tuple[int, ...]) -> None:
        if (level, corner) in tried:
            return
        tried.add((level, corner))
        pixels = inside(corner, levels[level][0])
        changed = x.copy()
        for v in pixels:
            changed[(slice(None), *v)] = fill[(slice(None), *v)]
        if label(changed) == clean:
            return
        for v in pixels:
            maps[level][v] = 1
        if level + 1 < len(levels):
            for child in corners(shape, levels[level + 1]):
                if child in pixels:
                    occlude(level + 1, child)

    for corner in corners(shape, levels[0]):
        occlude(0, corner)
    return sum(maps), len(tried)


def corners(shape: tuple[int, ...], level: Level) -> list[tuple[int, ...]]:
    """Multiples of the stride along each axis, up to the first window that reaches the border."""
    side, stride = level
    along = []
    for length in shape:
        at = [0]
        while at[-1] + side < length:
            at.append(at[-1] + stride)
        along.append(at)
    return list(product(*along))
