"""NIfTI: volumes with their place in the patient, read as stored and written back onto the same grid."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from pellucid.core.geometry import Geometry
from pellucid.errors import InputError, UsageError
from pellucid.io.files import PathLike, atomic, content, extension, parsing
from pellucid.io.image import Image

DAMAGE_OF_NIFTI = (ImageFileError, HeaderDataError, WrapStructError)
_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
# What is kept; the rest becomes the smallest of these that holds it, so that every viewer can open the file.
_KEPT = ("float32", "uint8", "int16", "int32", "uint16")


def read_nifti(path: PathLike, *, volume: int | None = None, data: bytes | None = None) -> Image:
    """Read ``.nii`` or ``.nii.gz`` as ``(C, X, Y, Z)``, scaled by its slope and intercept, oriented as stored.

    Args:
        path: the file.
        volume: which volume of a 4-D file, from 0.
        data: the file's bytes, where ``path`` is only its name.

    Raises:
        InputError: missing, damaged, more than three axes and no ``volume``, or an affine of no volume.
        UsageError: no such volume.
    """
    content(path, data, at_most=1)
    with parsing(path, "NIfTI", extra=DAMAGE_OF_NIFTI):
        image = open_nifti(path, data)
        shape = tuple(int(s) for s in image.shape)
        if volume is None and len(shape) > 3 and int(np.prod(shape[3:])) > 1:
            raise InputError(
                f"{path}: has {len(shape)} axes {shape}; pick one volume with volume=0 … {shape[3] - 1}, or save "
                "it as a file of its own"
                if len(shape) == 4
                else f"{path}: has {len(shape)} axes {shape}; only volumes and series of volumes are read"
            )
        if volume is not None and not 0 <= volume < (shape[3] if len(shape) == 4 else 1):
            raise UsageError(f"{path}: volume {volume} of {shape[3] if len(shape) == 4 else 1}; numbered from 0")
        stored = image.dataobj[..., volume] if len(shape) == 4 and volume is not None else image.dataobj
        array = _channels_first(np.asarray(stored))
        affine = grid_of(image)
        coded = bool(int(image.header["sform_code"]) or int(image.header["qform_code"]))
        geometry = Geometry(affine, array.shape[1:])
        orientation = geometry.orientation
        window = _window(image)
    meta: dict[str, Any] = {"format": "NIfTI", "dtype": str(image.get_data_dtype()), "axes": "x y z"}
    meta["orientation"] = orientation
    if not coded:
        meta["affine"] = "voxel sizes only: the file has neither sform nor qform"
    return Image(array=array, geometry=geometry, window=window, meta=meta, source=Path(path))


def open_nifti(path: PathLike, data: bytes | None) -> Any:
    """nibabel's image, its values not yet read; of a file's name, or of its bytes."""
    if data is None and extension(path) in (".nii", ".nii.gz"):
        return nib.load(path)
    data = content(path, data)
    raw = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    two = raw[4:7] == b"n+2"
    return (nib.Nifti2Image if two else nib.Nifti1Image).from_bytes(raw)


def grid_of(image: Any) -> NDArray[np.float64]:
    """The affine of nibabel's image, in millimetres whatever the header's unit of length."""
    scale = _MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    return np.diag([scale, scale, scale, 1.0]) @ np.asarray(image.affine, np.float64)


def _channels_first(stored: NDArray[Any]) -> NDArray[np.float32]:
    if stored.dtype.fields:  # RGB24 and RGBA32 are records
        stored = np.stack([stored[name] for name in ("R", "G", "B")])
    else:
        stored = stored[None]
    spatial = stored.shape[1:]
    keep = (*spatial, 1, 1, 1)[:3]
    return stored.reshape(stored.shape[0], *keep).astype(np.float32)


def _window(image: Any) -> tuple[float, float] | None:
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    return (low, high) if np.isfinite([low, high]).all() and low < high else None


def write_nifti(array: NDArray[Any], geometry: Geometry, path: PathLike, *, background: float = 0.0) -> Path:
    """Write a map or mask onto the grid of the file that ``geometry`` came from: orientation and crop undone.

    Args:
        array: ``(X, Y, Z)`` as it is held, or ``(C, X, Y, Z)``, whose channels become the fourth axis of the file.
        geometry: of the held array.
        path: ``.nii`` or ``.nii.gz``.
        background: what lies outside a crop.

    Raises:
        UsageError: another suffix, or an array on another grid.
        InputError: the file cannot be written.
    """
    if extension(path) not in (".nii", ".nii.gz"):
        raise UsageError(f"{path}: a NIfTI file ends in .nii or .nii.gz")
    if array.ndim not in (3, 4) or tuple(array.shape[-3:]) != geometry.shape:
        raise UsageError(
            f"{path}: the array is {tuple(array.shape)}, its grid {geometry.shape}; pass them as they belong"
        )
    whole = geometry.restored(_storable(array, path), background=background)
    if whole.ndim == 4:
        whole = whole[0] if len(whole) == 1 else np.moveaxis(whole, 0, -1)
    image = nib.Nifti1Image(whole, geometry.source_affine)
    image.header.set_xyzt_units("mm")
    # 2, "aligned": on the grid of another file. A quaternion cannot hold a shear, so a sheared grid goes without.
    image.set_sform(geometry.source_affine, code=2)
    edges = np.asarray(geometry.source_affine)[:3, :3]
    edges = edges / np.linalg.norm(edges, axis=0)
    image.set_qform(geometry.source_affine, code=2 if np.allclose(edges.T @ edges, np.eye(3), atol=1e-4) else 0)
    with atomic(path) as temporary:
        nib.save(image, temporary)
    return Path(path)


def _storable(array: NDArray[Any], path: PathLike) -> NDArray[Any]:
    if array.dtype.name in _KEPT:
        return array
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind in "iu":
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        for name in ("uint8", "int16", "int32"):
            if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
                return array.astype(name)
    raise UsageError(f"{path}: {array.dtype} values do not fit in a NIfTI file that viewers open; use float32 or int32")
