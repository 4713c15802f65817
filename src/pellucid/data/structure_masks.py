"""One label map from a folder with a mask for each structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.core.geometry import Geometry
from pellucid.core.resample import resampled
from pellucid.errors import InputError
from pellucid.io.label_map import read_labels

SUFFIX = ".nii.gz"


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """The classes of a scan, each from its masks.

    Attributes:
        labels: int16 ``(X, Y, Z)`` on the scan's grid, 0 the background.
        absent: structures without a file; their voxels count as background.
        overlap: voxels that lie in masks of two classes or more; the later class has them.
    """

    labels: NDArray[np.int16]
    absent: tuple[str, ...]
    overlap: int


def label_map(
    folder: Path, classes: Mapping[str, tuple[str, ...]], onto: Geometry, *, resample: bool = False
) -> LabelMap:
    """Read the masks of the classes' structures, ``STRUCTURE.nii.gz``, and number them from 1 on.

    Args:
        folder: of the masks.
        classes: class to its structures.
        onto: the grid of the scan, oriented as the label map shall be.
        resample: masks on another grid are brought onto the scan's by nearest neighbour.

    Raises:
        InputError: no file of any structure, one that is no mask, or one on another grid.
    """
    labels = np.zeros(onto.shape, np.int16)
    absent: list[str] = []
    overlap = np.zeros(onto.shape, bool)
    for number, structures in enumerate(classes.values(), 1):
        for name in structures:
            path = folder / f"{name}{SUFFIX}"
            if not path.is_file():
                absent.append(name)
                continue
            mask = _mask(path, onto, resample=resample)
            if mask is None:
                continue
            overlap |= mask & (labels != 0) & (labels != number)
            labels[mask] = number
    if len(absent) == sum(map(len, classes.values())):
        raise InputError(
            f"{folder} has no mask of any of the {len(classes)} classes (the first would be {absent[0]}{SUFFIX}); "
            "fetch them, or name other classes"
        )
    return LabelMap(labels=labels, absent=tuple(absent), overlap=int(overlap.sum()))


def _mask(path: Path, onto: Geometry, *, resample: bool) -> NDArray[np.bool_] | None:
    """One structure's mask on the scan's grid; None where nothing is marked, as in most of a scan's files."""
    stored, geometry = read_labels(path)
    if not stored.any():
        return None
    low, high = int(stored.min()), int(stored.max())
    if low < 0 or np.count_nonzero(stored == high) < np.count_nonzero(stored):
        raise InputError(f"{path}: the mask has values from {low} to {high}; that of one structure has 0 and another")
    array, turned = geometry.reoriented(stored != 0, onto.orientation)
    same = turned.shape == onto.shape
    if same and turned.apart(onto) <= 0.5 * min(onto.spacing):
        return array
    if not resample:
        how = f"is {turned.shape}, the scan {onto.shape}"
        how = f"lies {turned.apart(onto):.3g} mm from where the scan is" if same else how
        raise InputError(
            f"{path}: the mask {how} (both turned to {onto.orientation}); resample it onto the scan's grid, or set "
            "resample_masks: true"
        )
    out = resampled(array, affine=turned.affine, to_affine=onto.affine, to_shape=onto.shape, labels=True)
    if not out.any():
        raise InputError(f"{path}: all of the mask is outside of the scan; it is another scan's, or its affine is off")
    return out
