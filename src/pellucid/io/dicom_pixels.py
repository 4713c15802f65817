"""The stored numbers of a DICOM file, brought to real units: rescaled, and larger is brighter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder

from pellucid.errors import InputError
from pellucid.io.dicom_header import functional, numbers, parsing_header
from pellucid.io.files import PathLike

_WHAT_TO_INSTALL = (
    ("JPEG 2000", "pip install pylibjpeg pylibjpeg-openjpeg"),
    ("JPEG-LS", "pip install pyjpegls"),
    ("JPEG", "pip install pylibjpeg pylibjpeg-libjpeg, or python-gdcm"),
)


def decode(ds: Dataset, path: PathLike) -> tuple[NDArray[Any], str]:
    """All frames as stored, ``(F, H, W)`` or RGB ``(F, H, W, 3)``, and their photometric interpretation.

    YBR becomes RGB and palettes are expanded; bits above BitsStored are dropped.

    Raises:
        InputError: no decoder for the transfer syntax, or damaged pixel data.
    """
    syntax = ds.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
        available = decoder.is_available
    except NotImplementedError:
        available = False
    if not available:
        name = f"{syntax.name} ({syntax})" if syntax.is_valid else "an unknown transfer syntax"
        advice = next((a for kind, a in _WHAT_TO_INSTALL if kind in name), "convert it to an uncompressed one")
        raise InputError(f"{path}: its pixels are stored as {name}, which no installed decoder reads; {advice}")
    with parsing_header(path, f"DICOM pixel data ({syntax.name})"):
        try:
            values, info = decoder.as_array(ds, as_rgb=True)  # type: ignore[arg-type]
        except ValueError as error:
            if "bytes of pixel data is less" not in str(error):
                raise
            raise InputError(
                f"{path}: the pixel data are shorter than the header says; fetch the file again"
            ) from error
        photometric = str(info["photometric_interpretation"])
        samples = int(ds.get("SamplesPerPixel", 1))
        if photometric == "PALETTE COLOR":
            values, photometric, samples = apply_color_lut(values, ds)[..., :3], "RGB", 3
        if samples not in (1, 3):
            raise InputError(f"{path}: has {samples} samples per pixel; a picture has one (grey) or three (colour)")
        values = values.reshape(-1, int(ds.Rows), int(ds.Columns), *([samples] if samples > 1 else []))
    return values, photometric


def real_values(ds: Dataset, path: PathLike) -> tuple[NDArray[np.float32], list[float | None]]:
    """All frames in real units, ``(F, H, W)`` or ``(F, H, W, 3)``, and each frame's mirror (see below).

    MONOCHROME1 (small is bright) is mirrored within the range that BitsStored and PixelRepresentation allow,
    ``s' = s_min + s_max − s``, before slope and intercept. In real units that is ``v' = mirror − v`` with one
    constant per frame, which mirrors the display window too. The constant is None where nothing was mirrored.
    """
    stored, photometric = decode(ds, path)
    if stored.ndim == 4:
        return stored.astype(np.float32), [None] * len(stored)
    out = np.empty(stored.shape, np.float32)
    mirrors: list[float | None] = []
    with parsing_header(path, "DICOM (rescaling)"):
        ends = _stored_range(ds, stored) if photometric == "MONOCHROME1" else None
        for i, frame in enumerate(stored):
            out[i], mirror = _real(ds, i, frame, ends)
            mirrors.append(mirror)
    return out, mirrors


def _real(ds: Dataset, i: int, frame: NDArray[Any], ends: NDArray[Any] | None) -> tuple[NDArray[Any], float | None]:
    slope = functional(ds, i, "PixelValueTransformationSequence", "RescaleSlope")
    intercept = functional(ds, i, "PixelValueTransformationSequence", "RescaleIntercept")

    def rescale(values: NDArray[Any]) -> NDArray[np.float64]:
        if slope is not None and intercept is not None:
            return values.astype(np.float64) * float(slope) + float(intercept)
        return np.asarray(apply_modality_lut(values, ds), np.float64)

    values = rescale(frame)
    if ends is None:
        return values, None
    mirror = float(rescale(ends).sum())
    return mirror - values, mirror


def _stored_range(ds: Dataset, stored: NDArray[Any]) -> NDArray[Any]:
    bits = int(ds.BitsStored)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if stored.dtype.kind == "i" else (0, 2**bits - 1)
    return np.array([low, high], dtype=stored.dtype)


def display_window(ds: Dataset, mirror: float | None, *, frame: int = 0) -> tuple[float, float] | None:
    """The file's first display window as ``(low, high)`` in real units, or None; mirrored with MONOCHROME1."""
    centre = _window_value(ds, frame, "WindowCenter")
    width = _window_value(ds, frame, "WindowWidth")
    window: tuple[float, float] | None = None
    if centre is not None and width is not None and width > 0:
        # DICOM PS3.3 C.11.2.1.2: LINEAR counts pixel centres, so it is half a unit lower and one narrower.
        exact = str(ds.get("VOILUTFunction", "LINEAR") or "LINEAR") != "LINEAR"
        half = width / 2 if exact else (width - 1) / 2
        middle = centre if exact else centre - 0.5
        window = (middle - half, middle + half) if half > 0 else None
    elif ds.get("VOILUTSequence"):
        # A table has no two ends of a straight line; the stretch of values that it tells apart stands for them.
        described = numbers(ds.VOILUTSequence[0].get("LUTDescriptor"), 3)
        if described is not None:
            window = (described[1], described[1] + (described[0] or 65536) - 1)
    if window is not None and mirror is not None:
        window = (mirror - window[1], mirror - window[0])
    return window


def _window_value(ds: Dataset, frame: int, keyword: str) -> float | None:
    """The first value of an attribute that may be absent, empty, one number or several."""
    value = functional(ds, frame, "FrameVOILUTSequence", keyword)
    value = ds.get(keyword) if value is None else value
    if value is None:
        return None
    values = [value] if isinstance(value, int | float | str) else list(value)
    try:
        return float(values[0])
    except (ValueError, IndexError):
        return None
