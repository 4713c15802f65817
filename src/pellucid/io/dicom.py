"""DICOM, one file: a picture, a film, an enhanced volume or a segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from pellucid.errors import UsageError
from pellucid.io.dicom_grid import Plane, grid, orientation_of, pixel_spacing, plane_of, sort_planes
from pellucid.io.dicom_header import facts, open_header, parsing_header, refuse_without_pixels
from pellucid.io.dicom_pixels import display_window, real_values
from pellucid.io.dicom_seg import read_seg
from pellucid.io.files import PathLike
from pellucid.io.image import Image


def read_dicom(path: PathLike, *, frame: int | None = None, data: bytes | None = None) -> Image:
    """Read one DICOM file.

    A picture is ``(C, H, W)``. The frames of a film are ``(C, T, H, W)``, frames first among the spatial axes, and
    have no spacing, for time has no millimetres. An enhanced object whose frames lie at different places of one grid
    is a volume ``(1, X, Y, Z)``, a segmentation ``(segments, X, Y, Z)``.

    Args:
        path: the file.
        frame: read one frame only, from 0.
        data: the file's bytes, where ``path`` is only its name.

    Raises:
        InputError: not DICOM, damaged, without a picture, or compressed in a way that nothing installed reads.
        UsageError: no such frame.
    """
    with parsing_header(path):
        return _read(open_header(path, data), path, frame)


def _read(ds: Dataset, path: PathLike, frame: int | None) -> Image:
    refuse_without_pixels(ds, path)
    if "SegmentSequence" in ds:
        return read_seg(ds, path, frame=frame)
    values, mirrors = real_values(ds, path)
    which = 0 if frame is None else frame
    if not 0 <= which < len(values):
        raise UsageError(f"{path}: frame {which} of {len(values)}; they are numbered from 0")
    window = display_window(ds, mirrors[which], frame=which)
    if values.ndim == 4 and window is None:
        window = (0.0, float(2 ** int(ds.BitsStored) - 1))
    meta = facts(ds) | {"mirrored": mirrors[which] is not None}
    if frame is None and len(values) > 1:
        return _frames(ds, values, window, meta, path)
    if frame is not None:
        meta |= {"frame": frame}
    spacing, said = pixel_spacing(ds, frame=which)
    picture = values[which]
    picture = np.moveaxis(picture, -1, 0) if picture.ndim == 3 else picture[None]
    meta |= said | {"axes": "row column"}
    plane = plane_of(ds, "this file", frame=None if frame is None else which)
    if plane is not None:
        meta["orientation"] = orientation_of(plane)
    return Image(array=picture, spacing=spacing, window=window, meta=meta, source=Path(path))


def _frames(
    ds: Dataset, values: NDArray[np.float32], window: tuple[float, float] | None, meta: dict[str, Any], path: PathLike
) -> Image:
    planes = _places(ds, len(values)) if values.ndim == 3 else None
    if planes is not None:
        order = sort_planes(planes, path)
        geometry = grid(planes[order[0]], planes[order[-1]], len(planes))
        volume = values[order].transpose(2, 1, 0)[None]
        return Image(array=volume, geometry=geometry, window=window, meta=meta | {"axes": "x y z"}, source=Path(path))
    spacing, said = pixel_spacing(ds)
    meta |= said | {"axes": "frame row column"} | ({"pixel_spacing": spacing} if spacing else {})
    film = np.moveaxis(values, -1, 0) if values.ndim == 4 else values[None]
    return Image(array=film, window=window, meta=meta, source=Path(path))


def _places(ds: Dataset, n: int) -> list[Plane] | None:
    """The planes of the frames if each has its own place; None for a film or a stack with phases."""
    planes = [p for i in range(n) if (p := plane_of(ds, f"frame {i}", frame=i)) is not None]
    distinct = {tuple(np.round(p.origin, 3)) for p in planes}
    return planes if len(planes) == n == len(distinct) else None
