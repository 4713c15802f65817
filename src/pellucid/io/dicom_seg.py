"""DICOM segmentation objects: one binary (or fractional) channel per segment, on the grid of their planes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from pellucid.core.geometry import Geometry
from pellucid.errors import InputError, UsageError
from pellucid.io.dicom_grid import Plane, grid, pixel_spacing, plane_of
from pellucid.io.dicom_header import code, facts, functional, parsing_header
from pellucid.io.dicom_pixels import decode
from pellucid.io.files import PathLike
from pellucid.io.image import Image

_MOST_VOXELS = 2**31


def read_seg(ds: Dataset, path: PathLike, *, frame: int | None = None) -> Image:
    """Read a segmentation as ``(segments, X, Y, Z)`` in [0, 1]; ``meta["segments"]`` holds their names.

    Planes in which nothing is marked are often left out of the file; they are zero here, so that the grid is even.
    Without positions (a single plane per segment) it is a picture, ``(segments, H, W)``.

    Raises:
        InputError: a label-map segmentation, a frame without a segment, or planes on no even grid.
        UsageError: ``frame`` given; the frames of a segmentation mean nothing alone.
    """
    if frame is not None:
        raise UsageError(f"{path}: a segmentation is read as a whole; leave frame={frame} out")
    kind = str(ds.get("SegmentationType", "BINARY"))
    if kind not in ("BINARY", "FRACTIONAL"):
        raise InputError(f"{path}: a segmentation of type {code(kind)} is not read; export it as BINARY")
    stored, _ = decode(ds, path)
    with parsing_header(path, "a DICOM segmentation"):
        top = float(ds.get("MaximumFractionalValue", 1) or 1) if kind == "FRACTIONAL" else 1.0
        names = {int(s.SegmentNumber): str(s.get("SegmentLabel", "")) for s in ds.SegmentSequence}
        channel = {number: c for c, number in enumerate(sorted(names))}
        which = []
        for i in range(len(stored)):
            number = functional(ds, i, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
            which.append(channel[int(number)])
    meta = facts(ds) | {"segments": [names[n] for n in sorted(names)]}
    planes = [plane_of(ds, f"frame {i}", frame=i) for i in range(len(stored))]
    if any(p is None for p in planes):
        if sorted(which) != list(range(len(names))):
            raise InputError(f"{path}: its frames do not say where they lie, and they are not one for each segment")
        array = stored[np.argsort(which)].astype(np.float32) / top
        spacing, said = pixel_spacing(ds)
        return Image(array=array, spacing=spacing, meta=meta | said | {"axes": "row column"}, source=Path(path))
    index, geometry = _levels([p for p in planes if p is not None], ds, path)
    if len(names) * np.prod(geometry.shape) > _MOST_VOXELS:
        raise InputError(f"{path}: its {len(names)} segments on a grid of {geometry.shape} do not fit in memory")
    array = np.zeros((len(names), *geometry.shape), np.float32)
    for values, c, k in zip(stored, which, index):
        array[c, :, :, k] = values.T / top
    return Image(array=array, geometry=geometry, meta=meta | {"axes": "x y z"}, source=Path(path))


def _levels(planes: list[Plane], ds: Dataset, path: PathLike) -> tuple[NDArray[np.int64], Geometry]:
    """Which level of the even grid each frame lies on, and that grid."""
    first = planes[0]
    if any(not np.allclose([*p.row, *p.column], [*first.row, *first.column], atol=1e-4) for p in planes):
        raise InputError(f"{path}: its frames are not parallel; they are not one volume")
    depth = np.array([p.origin @ first.normal for p in planes])
    levels = np.unique(np.round(depth, 3))
    declared = functional(ds, 0, "PixelMeasuresSequence", "SpacingBetweenSlices")
    thick = functional(ds, 0, "PixelMeasuresSequence", "SliceThickness")
    step = float(np.diff(levels).min()) if len(levels) > 1 else abs(float(declared or thick or 1.0))
    index = np.round((depth - depth.min()) / step).astype(np.int64)
    if np.abs(index * step + depth.min() - depth).max() > 0.1 * step:
        raise InputError(f"{path}: its planes lie on no even grid (smallest step {step:.3f} mm); resample it")
    lowest, highest = planes[int(depth.argmin())], planes[int(depth.argmax())]
    return index, grid(lowest, highest, int(index.max()) + 1, step=step)
