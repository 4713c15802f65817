"""Masks and label maps of volumes: whole numbers as they are stored, not as 32-bit floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.core.geometry import Geometry
from pellucid.errors import InputError
from pellucid.io.files import PathLike, parsing
from pellucid.io.nifti import DAMAGE_OF_NIFTI, grid_of, open_nifti


def read_labels(path: PathLike) -> tuple[NDArray[Any], Geometry]:
    """The labels of a ``.nii`` or ``.nii.gz``, ``(X, Y, Z)`` of a type of whole numbers, as stored, and their grid.

    Raises:
        InputError: missing, damaged, no single volume, or values that are not whole.
    """
    with parsing(path, "NIfTI", extra=DAMAGE_OF_NIFTI):
        image = open_nifti(path, None)
        shape = tuple(int(s) for s in image.shape)
        if len(shape) < 3 or int(np.prod(shape[3:])) != 1:
            raise InputError(f"{path}: the mask has the axes {shape}; that of a volume has three: save one of them")
        labels = np.asarray(image.dataobj).reshape(shape[:3])
        geometry = Geometry(grid_of(image), labels.shape)
    if labels.dtype.kind not in "biuf":
        raise InputError(f"{path}: the mask holds {labels.dtype}, not whole numbers; save it as uint8")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all() or (labels != np.round(labels)).any():
            raise InputError(f"{path}: the mask has values that are not whole; threshold it and save it as uint8")
        labels = labels.astype(np.int32)
    return labels, geometry
