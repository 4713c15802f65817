"""NumPy files: NPY, and NPZ with one array or a named one. Never pickles."""

from __future__ import annotations

import tokenize
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.core.geometry import Geometry
from pellucid.errors import InputError, UsageError, nearest
from pellucid.io.files import PathLike, content, handle, parsing
from pellucid.io.image import Image

_USUAL = ("image", "array", "data")


def read_array(
    path: PathLike, *, key: str | None = None, channels: str | None = None, data: bytes | None = None
) -> Image:
    """Read an array; an NPZ may carry ``spacing`` and ``affine`` beside it.

    Args:
        path: ``.npy`` or ``.npz``.
        key: the array of an NPZ; the only one, or ``image``, ``array`` or ``data``, if None.
        channels: where the channel axis is: ``"first"``, ``"last"``, ``"none"``. If None: two axes have none, of
            three axes the first or else the last is the channels if it is at most 4 long, four axes have it first.
        data: the file's bytes, where ``path`` is only its name.

    Raises:
        InputError: damaged, pickled objects, not numbers, or no array that fits.
    """
    if channels not in (None, "first", "last", "none"):
        raise UsageError(f"{path}: channels={channels!r}: choose 'first', 'last' or 'none'")
    arrays = load_npz(path, data)
    values = _choose(path, arrays, key)
    if values.dtype.kind not in "biuf":
        raise InputError(f"{path}: the array holds {values.dtype}, not real numbers")
    if channels is None and values.ndim == 3 and "affine" in arrays:
        channels = "none"  # what has a place in the patient is a volume
    values = _channels_first(path, values, channels)
    spatial = values.shape[1:]
    spacing, geometry = None, None
    with parsing(path, "an array with its grid"):
        if "affine" in arrays and len(spatial) == 3:
            geometry = Geometry(np.asarray(arrays["affine"], float), spatial)
        elif "spacing" in arrays and np.size(arrays["spacing"]) == len(spatial):
            spacing = tuple(float(s) for s in np.ravel(arrays["spacing"]))
    axes = "row column" if len(spatial) == 2 else "x y z"
    meta = {"format": "NumPy", "dtype": str(values.dtype), "axes": axes}
    return Image(array=values, spacing=spacing, geometry=geometry, meta=meta, source=Path(path))


def load_npz(path: PathLike, data: bytes | None = None) -> dict[str, NDArray[Any]]:
    """All arrays of an NPZ by name, or that of an NPY under ``""``; never pickles.

    Raises:
        InputError: missing, damaged, or with pickled objects.
    """
    content(path, data, at_most=1)
    with parsing(path, "a NumPy file", extra=(zipfile.BadZipFile, tokenize.TokenError)):
        try:
            loaded = np.load(handle(path, data), allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"": loaded}
            with loaded:
                return {name: loaded[name] for name in loaded.files}
        except ValueError as error:
            if "allow_pickle" in str(error) or "pickle" in str(error).lower():
                raise InputError(
                    f"{path}: holds pickled Python objects, which can run code and are not loaded; save plain arrays"
                ) from error
            raise


def _choose(path: PathLike, arrays: dict[str, NDArray[Any]], key: str | None) -> NDArray[Any]:
    names = [name for name in arrays if name not in ("spacing", "affine")]
    if key is not None:
        if key not in arrays:
            raise InputError(f"{path}: no array {key!r}; {nearest(key, names)}")
        return arrays[key]
    if len(names) != 1:
        names = [name for name in _USUAL if name in arrays][:1]
    if not names:
        raise InputError(f"{path}: holds the arrays {', '.join(arrays) or 'none'}; choose one with key=…")
    return arrays[names[0]]


def _channels_first(path: PathLike, values: NDArray[Any], channels: str | None) -> NDArray[Any]:
    ndim = values.ndim
    if channels is None:
        channels = "none" if ndim == 2 else "first"
        if ndim == 3 and values.shape[0] > 4:
            channels = "last" if values.shape[-1] <= 4 else "none"
    out = values[None] if channels == "none" else np.moveaxis(values, -1, 0) if channels == "last" else values
    if out.ndim not in (3, 4) or out.size == 0:
        raise InputError(
            f"{path}: the array is {values.shape} with channels {channels}; a picture is (C, H, W), a volume "
            "(C, X, Y, Z): pick one item, or say where the channels are with channels='first', 'last' or 'none'"
        )
    return out
