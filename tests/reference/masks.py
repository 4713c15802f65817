"""RISE, slow and literal: one mask and one pixel at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import floor

import numpy as np
from numpy.typing import NDArray


def soft_mask(cells: NDArray, shift: Sequence[float], shape: tuple[int, ...]) -> NDArray:
    """Linear interpolation between the cells, at each pixel's centre in units of cells, moved by ``shift``."""
    out = np.zeros(shape)
    for pixel in np.ndindex(*shape):
        at = [(i + 0.5) * (c - 2) / n + s for i, c, n, s in zip(pixel, cells.shape, shape, shift)]
        for corner in product((0, 1), repeat=len(shape)):
            place = tuple(floor(a) + k for a, k in zip(at, corner))
            weight = 1.0
            for a, k in zip(at, corner):
                weight *= (a - floor(a)) if k else 1 - (a - floor(a))
            if weight > 0:
                out[pixel] += weight * cells[place]
    return out


def original(scores: Sequence[float], masks: Sequence[NDArray], p: float) -> NDArray:
    """Petsiuk et al., equation 6: the masks weighed by their scores, over the number and p."""
    total = np.zeros_like(masks[0])
    for score, mask in zip(scores, masks):
        total += score * mask
    return total / (len(masks) * p)


def centred(scores: Sequence[float], masks: Sequence[NDArray], p: float) -> NDArray:
    """The sample covariance of score and mask, over ``p (1 − p)``."""
    mean_score = sum(scores) / len(scores)
    mean_mask = sum(masks) / len(masks)
    total = np.zeros_like(masks[0])
    for score, mask in zip(scores, masks):
        total += (score - mean_score) * (mask - mean_mask)
    return total / (len(masks) - 1) / (p * (1 - p))


def scores(f: Callable[[NDArray], float], x: NDArray, fill: NDArray, masks: Sequence[NDArray]) -> list[float]:
    """``f(x ∘ m + fill ∘ (1 − m))`` for every mask ``(*spatial)`` of ``x`` ``(C, *spatial)``."""
    return [f(np.stack([c * m + d * (1 - m) for c, d in zip(x, fill)])) for m in masks]
