"""Read any picture or volume: the content decides, then the suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pellucid.errors import InputError, UsageError
from pellucid.io import array, dicom, dicom_header, dicom_series, nifti, raster
from pellucid.io.files import PathLike, content, extension
from pellucid.io.image import Image

_SUFFIXES = {
    ".dcm": "DICOM", ".dicom": "DICOM", ".ima": "DICOM", ".nii": "NIfTI", ".nii.gz": "NIfTI", ".png": "PNG",
    ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".npy": "NPY", ".npz": "NPZ",
}  # fmt: skip
_READERS: dict[str, tuple[Callable[..., Image], tuple[str, ...]]] = {
    "DICOM": (dicom.read_dicom, ("frame",)),
    "DICOM series": (dicom_series.read_series, ("series",)),
    "NIfTI": (nifti.read_nifti, ("volume",)),
    "PNG": (raster.read_raster, ("scale",)),
    "JPEG": (raster.read_raster, ("scale",)),
    "TIFF": (raster.read_raster, ("scale", "frame")),
    "NPY": (array.read_array, ("channels",)),
    "NPZ": (array.read_array, ("channels", "key")),
}
SUFFIXES = tuple(_SUFFIXES)


def read(
    path: PathLike,
    *,
    orientation: str | None = None,
    series: str | int | None = None,
    volume: int | None = None,
    frame: int | None = None,
    key: str | None = None,
    channels: str | None = None,
    scale: bool | None = None,
    data: bytes | None = None,
) -> Image:
    """Read a DICOM file or series, NIfTI, PNG, JPEG, TIFF, NPY or NPZ.

    Args:
        path: a file, or a folder that holds one DICOM series.
        orientation: turn volumes to these axes, such as ``"RAS"``; as stored if None.
        series: which series of a DICOM folder: its number, description or SeriesInstanceUID.
        volume: which volume of a 4-D NIfTI, from 0.
        frame: which frame of a DICOM film or TIFF stack, from 0; all of them, as the first spatial axis, if None.
        key: which array of an NPZ.
        channels: ``"first"``, ``"last"`` or ``"none"``: where the channel axis of an NPY or NPZ array is.
        scale: bring PNG, JPEG and TIFF to [0, 1] by their type's maximum (True if None).
        data: the file's bytes, where ``path`` is only its name (a member of an archive).

    Returns:
        The image in real units, never windowed; see :class:`~pellucid.io.image.Image`.

    Raises:
        InputError: missing, damaged, unknown, or not a picture.
        UsageError: an option that the format does not know.
    """
    kind = _kind(path, data)
    reader, known = _READERS[kind]
    given: dict[str, Any] = {
        "series": series, "volume": volume, "frame": frame, "key": key, "channels": channels,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in known:
            formats = ", ".join(k for k, (_, options) in _READERS.items() if name in options)
            raise UsageError(f"{path}: option {name!r} is for {formats}; this is {kind}, leave it out")
    if scale is not None and "scale" in known:
        given["scale"] = scale
    if data is not None:
        given["data"] = data
    image = reader(path, **given)
    return image if orientation is None else image.reoriented(orientation)


def _kind(path: PathLike, data: bytes | None) -> str:
    if data is None and Path(path).is_dir():
        return "DICOM series"
    head = content(path, data, at_most=1024)
    if not head:
        raise InputError(f"{path}: the file is empty; fetch it again")
    known = _by_content(head) or _SUFFIXES.get(extension(path))
    if known is None and dicom_header.looks_like_dicom(path, data):
        known = "DICOM"
    if known is None:
        raise InputError(
            f"{path}: the kind of file is not known; Pellucid reads DICOM, NIfTI, PNG, JPEG, TIFF, NPY and NPZ"
        )
    return known


def _by_content(head: bytes) -> str | None:
    starts = {
        b"\x89PNG\r\n": "PNG", b"\xff\xd8\xff": "JPEG", b"\x93NUMPY": "NPY", b"PK\x03\x04": "NPZ",
        b"II*\x00": "TIFF", b"MM\x00*": "TIFF", b"II+\x00": "TIFF", b"MM\x00+": "TIFF", b"\x1f\x8b": "NIfTI",
    }  # fmt: skip
    # A DICOM preamble may begin like a TIFF (dual-purpose files of digital pathology), so it is asked first.
    if head[128:132] == b"DICM":
        return "DICOM"
    if head[344:347] in (b"n+1", b"ni1") or head[4:7] == b"n+2":
        return "NIfTI"
    return next((kind for start, kind in starts.items() if head.startswith(start)), None)
