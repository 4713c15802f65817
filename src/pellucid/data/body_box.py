"""The box around the body in a CT, without the air beside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

AIR = -500.0  # HU: between air and lung on one side, fat and all that is heavier on the other
_COARSE = 3  # voxels: how fine the box is looked for


def body_box(hu: NDArray[np.float32]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First voxel and shape of the box around the largest piece of a CT ``(X, Y, Z)`` that is above −500 HU.

    Every third voxel is looked at, and three voxels are left around; the whole volume where nothing is above −500 HU. A
    couch that touches the body is within the box.
    """
    pieces, n = label(hu[::_COARSE, ::_COARSE, ::_COARSE] > AIR)
    if n == 0:
        return (0, 0, 0), hu.shape
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    places = np.argwhere(pieces == largest)
    low = np.maximum(_COARSE * (places.min(0) - 1), 0)
    high = np.minimum(_COARSE * (places.max(0) + 1) + 1, hu.shape)
    return tuple(int(v) for v in low), tuple(int(v) for v in high - low)
