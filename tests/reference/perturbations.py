"""Slow literal twins of the perturbation methods: one window at a time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray


def occlusion(
    f: Callable[[NDArray], float], x: NDArray, fill: NDArray, window: tuple[int, ...], stride: tuple[int, ...]
) -> tuple[NDArray, int]:
    """Per pixel the mean drop over the windows that cover it, and how many windows there were.

    ``x`` and ``fill`` are ``(C, *spatial)``. A window starts at every multiple of the stride up to the first one that
    reaches the border.
    """
    shape = x.shape[1:]
    starts = []
    for side, step, length in zip(window, stride, shape):
        along, at = [0], 0
        while at + side < length:
            at += step
            along.append(at)
        starts.append(along)
    total, count, windows = np.zeros(shape), np.zeros(shape), 0
    clean = f(x)
    for corner in product(*starts):
        changed = x.copy()
        inside = []
        for voxel in np.ndindex(*shape):
            if all(c <= v < c + w for v, c, w in zip(voxel, corner, window)):
                inside.append(voxel)
                for channel in range(x.shape[0]):
                    changed[(channel, *voxel)] = fill[(channel, *voxel)]
        drop = clean - f(changed)
        windows += 1
        for voxel in inside:
            total[voxel] += drop
            count[voxel] += 1
    return total / count, windows


def feature_ablation(f: Callable[[NDArray], float], x: NDArray, fill: NDArray, labels: NDArray) -> NDArray:
    """``f(x) − f(x without the feature)`` on every pixel of the feature; ``labels`` is ``(*spatial)``."""
    out = np.zeros(labels.shape)
    for value in sorted(set(labels.flatten().tolist())):
        changed = x.copy()
        for channel in range(x.shape[0]):
            changed[channel][labels == value] = fill[channel][labels == value]
        out[labels == value] = f(x) - f(changed)
    return out
