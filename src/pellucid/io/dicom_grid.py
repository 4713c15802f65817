"""From the positions of DICOM planes to one grid: sorted, evenly spaced, without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from pellucid.core.geometry import Geometry
from pellucid.errors import InputError
from pellucid.io.dicom_header import functional, numbers
from pellucid.io.files import PathLike

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_STEP = 0.05  # positions are often written with one decimal: a step may differ by this share from the median one


@dataclass(frozen=True, eq=False)
class Plane:
    """Where one slice lies, in DICOM's LPS millimetres.

    Attributes:
        name: what to call it in a message.
        origin: centre of the first pixel.
        row: unit vector along a row (growing column index).
        column: unit vector along a column (growing row index).
        spacing: millimetres between rows, and between columns.
        shape: rows and columns.
    """

    name: str
    origin: NDArray[np.float64]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    spacing: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> NDArray[np.float64]:
        """The direction in which slices are counted."""
        return np.cross(self.row, self.column)


def plane_of(ds: Dataset, name: str, *, frame: int | None = None) -> Plane | None:
    """The plane of a file, or of one ``frame`` of it; None if the header does not say where it lies."""

    def get(group: str, keyword: str, n: int) -> tuple[float, ...] | None:
        return numbers(ds.get(keyword) if frame is None else functional(ds, frame, group, keyword), n)

    origin = get("PlanePositionSequence", "ImagePositionPatient", 3)
    cosines = get("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = get("PixelMeasuresSequence", "PixelSpacing", 2)
    if origin is None or cosines is None or spacing is None or min(spacing) <= 0:
        return None
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    if min(np.linalg.norm(row), np.linalg.norm(column)) < 0.5 or abs(row @ column) > 0.01:
        return None
    return Plane(
        name, np.array(origin), row / np.linalg.norm(row), column / np.linalg.norm(column),
        (spacing[0], spacing[1]), (int(ds.Rows), int(ds.Columns)),
    )  # fmt: skip


_WAYS = (("right to left", "left to right"), ("front to back", "back to front"), ("feet to head", "head to feet"))


def orientation_of(plane: Plane) -> str:
    """Which way the patient lies in a picture, by the nearest axis, such as "rows from front to back, columns …"."""

    def way(vector: NDArray[np.float64]) -> str:
        axis = int(np.abs(vector).argmax())
        return _WAYS[axis][int(vector[axis] < 0)]

    return f"rows from {way(plane.column)}, columns from {way(plane.row)}"


def sort_planes(planes: Sequence[Plane], path: PathLike) -> NDArray[np.intp]:
    """The order along the common normal.

    Raises:
        InputError: planes of another size, spacing or direction; two at one place; a gap; an uneven or skewed step.
    """
    first = planes[0]
    for p in planes[1:]:
        if p.shape != first.shape:
            raise InputError(
                f"{path}: {p.name} has {p.shape} pixels, {first.name} {first.shape}; they are not one volume"
            )
        if not np.allclose(p.spacing, first.spacing, rtol=1e-3):
            raise InputError(f"{path}: {p.name} has pixels of {p.spacing} mm, {first.name} of {first.spacing} mm")
        if min(p.row @ first.row, p.column @ first.column) < 1 - 1e-4:
            raise InputError(
                f"{path}: {p.name} and {first.name} are not parallel (a localiser among the slices?); "
                "keep the files of one volume in the folder"
            )
    depth = np.array([p.origin @ first.normal for p in planes])
    order = np.argsort(depth, kind="stable")
    _check_steps(depth[order], [planes[i] for i in order], path)
    return order


def _check_steps(depth: NDArray[np.float64], planes: list[Plane], path: PathLike) -> None:
    steps = np.diff(depth)
    if not len(steps):
        return
    for i in np.flatnonzero(steps < 1e-3):
        raise InputError(
            f"{path}: {planes[i].name} and {planes[i + 1].name} lie at the same place ({depth[i]:.2f} mm); remove the "
            "duplicate, or keep the phases of a dynamic study in folders of their own"
        )
    step = float(np.median(steps))
    allowed = max(_STEP * step, 0.02)
    for i in np.flatnonzero(np.abs(steps - step) > allowed):
        missing = round(steps[i] / step) - 1
        what = f"{missing} missing slice{'s' * (missing > 1)}" if missing > 0 else "an uneven step"
        raise InputError(
            f"{path}: {what} between {planes[i].name} ({depth[i]:.2f} mm) and {planes[i + 1].name} "
            f"({depth[i + 1]:.2f} mm): {steps[i]:.2f} mm apart where the others are {step:.2f} mm; "
            "add what is missing, or resample the series to an even grid"
        )
    line = planes[0].origin + np.outer(
        (depth - depth[0]) / (depth[-1] - depth[0]), planes[-1].origin - planes[0].origin
    )
    off = np.linalg.norm(np.array([p.origin for p in planes]) - line, axis=1)
    if off.max() > max(allowed, 0.05 * min(planes[0].spacing)):
        worst = int(off.argmax())
        raise InputError(
            f"{path}: {planes[worst].name} is shifted sideways by {off[worst]:.2f} mm against the line through the "
            "first and last slice; the slices are not one volume"
        )


def grid(first: Plane, last: Plane, n: int, *, step: float | None = None) -> Geometry:
    """The geometry of ``n`` planes from ``first`` to ``last``, array axes ``(column, row, slice)``.

    The slice axis is the line through both origins, so that a tilted gantry is a shear of the affine.
    ``step`` millimetres stand in where there is only one plane.
    """
    affine = np.eye(4)
    affine[:3, 0] = first.row * first.spacing[1]
    affine[:3, 1] = first.column * first.spacing[0]
    affine[:3, 2] = (last.origin - first.origin) / (n - 1) if n > 1 else first.normal * (step or 1.0)
    affine[:3, 3] = first.origin
    return Geometry(_LPS_TO_RAS @ affine, (first.shape[1], first.shape[0], n))


def pixel_spacing(ds: Dataset, *, frame: int = 0) -> tuple[tuple[float, float] | None, dict[str, Any]]:
    """``(row, column)`` spacing of a single picture in millimetres, and which attribute it came from."""
    shared = functional(ds, frame, "PixelMeasuresSequence", "PixelSpacing")
    for keyword, value in (
        ("PixelSpacing", ds.get("PixelSpacing", shared)),
        ("ImagerPixelSpacing", ds.get("ImagerPixelSpacing")),
        ("NominalScannedPixelSpacing", ds.get("NominalScannedPixelSpacing")),
    ):
        spacing = numbers(value, 2)
        if spacing is not None and min(spacing) > 0:
            return (spacing[0], spacing[1]), {"spacing_from": keyword}
    return None, {}
