"""A DICOM header: opening it, whatever its shape, and the facts in it that identify nobody."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pellucid.errors import InputError
from pellucid.io.files import PathLike, content, handle, parsing

# No names, ids, dates, ages or free text: what is not listed here does not leave the header.
_META = {
    "modality": "Modality", "photometric_interpretation": "PhotometricInterpretation", "bits": "BitsStored",
    "view": "ViewPosition", "body_part": "BodyPartExamined", "laterality": "Laterality",
    "image_laterality": "ImageLaterality", "slice_thickness": "SliceThickness", "kvp": "KVP",
    "kernel": "ConvolutionKernel", "field_strength": "MagneticFieldStrength", "units": "Units",
    "rescale_type": "RescaleType",
}  # fmt: skip
_CODE = re.compile(r"[A-Za-z0-9_ ./+-]{1,24}")
_NO_PIXELS = {
    "RTSTRUCT": "contours, not a picture: draw them as masks on the grid of their CT first",
    "SR": "a report, not a picture: read it with a DICOM SR tool such as highdicom",
}


def parsing_header(path: PathLike, what: str = "DICOM") -> AbstractContextManager[None]:
    """Around whatever asks a data set for its elements: pydicom decodes them only then, so damage shows late."""
    return parsing(path, what, extra=(InvalidDicomError, BytesLengthException), quote=False)


def open_header(path: PathLike, data: bytes | None = None, *, pixels: bool = True) -> Dataset:
    """Read a DICOM data set, with or without preamble and meta header.

    Raises:
        InputError: missing, not DICOM, or damaged.
    """
    content(path, data, at_most=1)
    with parsing_header(path):
        ds = dcmread(handle(path, data), force=True, stop_before_pixels=not pixels)
        _check_header(ds, path)
    return ds


def _check_header(ds: Dataset, path: PathLike) -> None:
    if not any(tag in ds for tag in ("SOPClassUID", "Modality", "Rows", "PixelData", "SOPInstanceUID")):
        raise InputError(
            f"{path}: is not DICOM, or its header is damaged: it has neither a meta header nor one of the attributes "
            "that every DICOM file has; export it again"
        )
    if not getattr(ds, "file_meta", None) or "TransferSyntaxUID" not in ds.file_meta:
        _guess_syntax(ds)


def looks_like_dicom(path: PathLike, data: bytes | None = None) -> bool:
    """Whether the bytes are those of a DICOM file, with its preamble or without."""
    if content(path, data, at_most=132)[128:132] == b"DICM":
        return True
    try:
        open_header(path, data, pixels=False)
    except InputError:
        return False
    return True


def _guess_syntax(ds: Dataset) -> None:
    """A file without meta header is uncompressed; how its elements are encoded tells the rest."""
    implicit, little = ds.original_encoding
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    ds.ensure_file_meta()
    ds.file_meta.TransferSyntaxUID = syntax


def refuse_without_pixels(ds: Dataset, path: PathLike) -> None:
    """Raise InputError for reports, contours and whatever else has no picture in it."""
    if "PixelData" in ds or "FloatPixelData" in ds or "DoubleFloatPixelData" in ds:
        return
    uid = UID(str(ds.get("SOPClassUID", "")))
    kind = code(ds.get("Modality")) or (uid.name if uid.is_valid and not uid.is_private else "") or "unknown"
    why = _NO_PIXELS.get(kind, "it has no pixel data, choose the image objects of the study")
    raise InputError(f"{path}: a DICOM object of kind {kind}: {why}")


def facts(ds: Dataset) -> dict[str, Any]:
    """The entries of the header that identify nobody, as plain values."""
    out: dict[str, Any] = {"format": "DICOM"}
    for name, keyword in _META.items():
        value = _plain(ds.get(keyword))
        if value is not None:
            out[name] = value
    return out


def code(value: Any) -> str | None:
    """A short printable code as it is, else None: a damaged header can put the patient's name anywhere."""
    text = "" if value is None else str(value)
    return text if _CODE.fullmatch(text) else None


def numbers(value: Any, n: int) -> tuple[float, ...] | None:
    """``n`` floats of a multi-valued element, or None if it is absent or of another length."""
    if value is None or isinstance(value, str | bytes):
        return None
    try:
        out = tuple(float(v) for v in value)
    except (TypeError, ValueError):
        return None
    return out if len(out) == n else None


def functional(ds: Dataset, frame: int, group: str, keyword: str) -> Any:
    """An attribute of an enhanced multi-frame object: the frame's own, else the shared one, else None."""
    frames = ds.get("PerFrameFunctionalGroupsSequence") or []
    shared = ds.get("SharedFunctionalGroupsSequence") or []
    for holder in ([frames[frame]] if frame < len(frames) else []) + list(shared[:1]):
        items = holder.get(group)
        if items and items[0].get(keyword) is not None:
            return items[0].get(keyword)
    return None


def _plain(value: Any) -> int | float | str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float) or type(value).__name__ == "DSdecimal":
        return float(value)
    if value is None or isinstance(value, str | bytes):
        return code(value)
    try:
        return ", ".join(filter(None, (code(v) for v in value))) or None
    except TypeError:
        return None
