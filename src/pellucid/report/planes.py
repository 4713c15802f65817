"""Planes of a volume as pictures, in radiological orientation: the patient's right is on the left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.core.geometry import Geometry

OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
NAMES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True, eq=False)
class Plane:
    """One picture.

    Attributes:
        values: ``(rows, columns)``, row 0 at the top.
        name: ``"axial"`` …, ``"axis 0"`` … where the orientation is unknown, ``""`` for a 2-D picture.
        edges: letters at the left, right, top and bottom of the picture, ``""`` where unknown.
        size: height and width in millimetres (or pixels, without a spacing).
        index: of the slice, in the voxel numbering of the case.
    """

    values: NDArray
    name: str
    edges: tuple[str, str, str, str]
    size: tuple[float, float]
    index: int | None = None


def planes(
    values: NDArray,
    *,
    ndim: int,
    at: tuple[int, ...] | None = None,
    geometry: Geometry | None = None,
    spacing: tuple[float, ...] | None = None,
) -> list[Plane]:
    """A picture as it is, or three planes of a volume: axial, coronal, sagittal.

    Axial and coronal: the patient's right on the left, front or head up; sagittal: front on the left, head up. The
    letters come from the affine; of an oblique volume each axis has the letter that it is nearest to.

    Args:
        values: ``(H, W)``, in colour ``(H, W, 3)``, or a volume ``(X, Y, Z)``.
        ndim: spatial axes.
        at: voxel through which the planes go; the middle if None.
        geometry: grid of a volume; without one its axes are only numbered.
        spacing: millimetres along each axis, used without a geometry.
    """
    mm = spacing if spacing is not None else (1.0,) * ndim
    if ndim == 2:
        size = (values.shape[0] * mm[0], values.shape[1] * mm[1])
        return [Plane(values, "", ("", "", "", ""), size)]
    voxel = tuple(n // 2 for n in values.shape) if at is None else tuple(int(v) for v in at)
    if geometry is None:
        return [_plain(values, axis, voxel, mm) for axis in range(3)]
    turned, grid = geometry.reoriented(values, "LPS")
    mark = np.zeros(values.shape, dtype=np.uint8)
    mark[voxel] = 1
    place = np.argwhere(geometry.reoriented(mark, "LPS")[0])[0]
    source = [_axis_of(letter, geometry.orientation) for letter in grid.orientation]
    found = []
    for axis in (2, 1, 0):
        across, down = [a for a in range(3) if a != axis]
        picture = np.take(turned, place[axis], axis=axis).T
        left, top = OPPOSITE[grid.orientation[across]], OPPOSITE[grid.orientation[down]]
        right, bottom = grid.orientation[across], grid.orientation[down]
        if axis != 2:  # the third axis grows towards the head, which belongs at the top
            picture, top, bottom = picture[::-1], bottom, top
        size = (turned.shape[down] * grid.spacing[down], turned.shape[across] * grid.spacing[across])
        found.append(Plane(picture, NAMES[axis], (left, right, top, bottom), size, voxel[source[axis]]))
    return found


def peak(values: NDArray) -> tuple[int, ...]:
    """The voxel with the largest finite magnitude; the middle if there is none."""
    magnitude = np.where(np.isfinite(values), np.abs(values), 0.0)
    if not magnitude.any():
        return tuple(n // 2 for n in values.shape)
    return tuple(int(i) for i in np.unravel_index(int(magnitude.argmax()), values.shape))


def heart(mask: NDArray) -> tuple[int, ...] | None:
    """The voxel of a mask that is nearest to its centre of mass; None of an empty mask."""
    inside = np.argwhere(mask)
    if not len(inside):
        return None
    nearest = ((inside - inside.mean(0)) ** 2).sum(1).argmin()
    return tuple(int(i) for i in inside[nearest])


def _plain(values: NDArray, axis: int, voxel: tuple[int, ...], mm: tuple[float, ...]) -> Plane:
    rows, columns = [a for a in range(3) if a != axis]
    size = (values.shape[rows] * mm[rows], values.shape[columns] * mm[columns])
    return Plane(np.take(values, voxel[axis], axis=axis), f"axis {axis}", ("", "", "", ""), size, voxel[axis])


def _axis_of(letter: str, orientation: str) -> int:
    return next(i for i, have in enumerate(orientation) if have in (letter, OPPOSITE[letter]))
