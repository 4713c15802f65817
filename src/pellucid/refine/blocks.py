"""Means over non-overlapping blocks, in any dimension, and back on the grid of the pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def block_means(m: Array, side: int) -> Array:
    """The mean of every block of ``side`` pixels along each axis; the last ones are as large as what is left.

    Args:
        m: ``(*spatial)``.
        side: of a block, in pixels.

    Example:
        >>> block_means(np.array([[1.0, 3.0, 5.0]]), 2).tolist()
        [[2.0, 5.0]]
    """
    total, count = np.asarray(m, np.float64), np.ones(())
    for axis, n in enumerate(m.shape):
        starts = np.arange(0, n, side)
        total = np.add.reduceat(total, starts, axis=axis)
        count = np.multiply.outer(count, np.diff(np.append(starts, n)))
    return np.asarray(total / count, np.float64)


def on_pixels(blocks: NDArray, side: int, shape: tuple[int, ...]) -> NDArray:
    """Every pixel with the value of its block.

    Args:
        blocks: as :func:`block_means` gives them.
        side: of a block.
        shape: of the picture.

    Example:
        >>> on_pixels(np.array([[2.0, 5.0]]), 2, (1, 3)).tolist()
        [[2.0, 2.0, 5.0]]
    """
    for axis, n in enumerate(shape):
        blocks = np.repeat(blocks, side, axis=axis).take(np.arange(n), axis=axis)
    return blocks
