"""PNG, JPEG and TIFF, 8 and 16 bit, grey and colour; and PNG out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import tifffile
from numpy.typing import NDArray

from pellucid.errors import InputError, UsageError
from pellucid.io.files import PathLike, atomic, content, extension, handle, parsing
from pellucid.io.image import Image
from pellucid.io.tiff import check_pages

_ORIENTATION = 274  # the EXIF and TIFF tag
_DAMAGE = (PIL.Image.DecompressionBombError, tifffile.TiffFileError)


def read_raster(path: PathLike, *, scale: bool = True, frame: int | None = None, data: bytes | None = None) -> Image:
    """Read a picture as ``(C, H, W)``, upright, one channel or three.

    Palettes are expanded, an alpha channel is dropped (``meta["alpha_dropped"]``), and what is stored with white as
    zero is turned. The pages of a TIFF are frames, ``(C, T, H, W)``.

    Args:
        path: the file.
        scale: bring integers to [0, 1] by the largest value of their type (255 or 65535); as stored if False.
        frame: one page of a TIFF, from 0.
        data: the file's bytes, where ``path`` is only its name.

    Raises:
        InputError: missing, damaged, or of a kind that is not read.
    """
    head = content(path, data, at_most=64)
    tiff = head[:2] in (b"II", b"MM")
    with parsing(path, "TIFF" if tiff else "a picture", extra=_DAMAGE):
        values, meta = _tiff(path, data) if tiff else _pillow(path, data, head)
        turn = meta.pop("turn")
    colour = values.shape[-1]
    if colour in (2, 4):
        values, meta["alpha_dropped"] = values[..., : colour - 1], True
    elif colour not in (1, 3):
        raise InputError(f"{path}: has {colour} channels; a picture has one (grey) or three (colour)")
    values = _upright(values, turn)
    if values.ndim == 4 and frame is not None:
        if not 0 <= frame < len(values):
            raise UsageError(f"{path}: frame {frame} of {len(values)}; they are numbered from 0")
        values = values[frame]
    array = np.moveaxis(values, -1, 0).astype(np.float32)
    if scale and values.dtype.kind == "u":
        array /= np.float32(meta["maximum"])
    meta |= {"scaled": bool(scale and values.dtype.kind == "u")}
    meta |= {"axes": "row column" if array.ndim == 3 else "frame row column"}
    return Image(array=array, meta=meta, source=Path(path))


def _pillow(path: PathLike, data: bytes | None, head: bytes) -> tuple[NDArray[Any], dict[str, Any]]:
    with PIL.Image.open(handle(path, data)) as image:
        turn = int(image.getexif().get(_ORIENTATION, 1))
        meta: dict[str, Any] = {"format": str(image.format), "turn": turn}
        # Pillow cuts 16-bit colour (and 16-bit grey with alpha) down to 8 bits without a word; ITK does not.
        deep = image.format == "PNG" and head[24] == 16
        if deep and not image.mode.startswith("I"):
            values = _itk(path, data, ".png")
        elif image.mode in ("1", "L", "LA", "RGB", "RGBA") or image.mode.startswith("I;16"):
            values = np.asarray(image.convert("L") if image.mode == "1" else image)
        elif image.mode == "I":
            values = np.asarray(image).astype(np.uint16)
        elif image.mode in ("P", "PA"):
            transparent = "transparency" in image.info or image.mode == "PA"
            values = np.asarray(image.convert("RGBA" if transparent else "RGB"))
            meta["palette"] = True
        else:
            values = np.asarray(image.convert("RGB"))
    values = values[..., None] if values.ndim == 2 else values
    bits = 8 * values.dtype.itemsize
    return values, meta | {"bits": bits, "maximum": 2**bits - 1}


def _tiff(path: PathLike, data: bytes | None) -> tuple[NDArray[Any], dict[str, Any]]:
    check_pages(path, data)
    with tifffile.TiffFile(handle(path, data)) as file:
        if not file.series:
            raise InputError(f"{path}: this TIFF holds no picture")
        page, series = file.series[0].keyframe, file.series[0]
        photometric = str(getattr(page.photometric, "name", page.photometric))
        tag = page.tags.get(_ORIENTATION)
        turn = int(tag.value) if tag is not None else 1
        try:
            values, axes = series.asarray(), series.axes
        except (ValueError, KeyError) as error:
            if "imagecodecs" not in str(error):
                raise
            if page.bitspersample > 8 and (turn != 1 or photometric == "MINISWHITE"):
                raise InputError(
                    f"{path}: a compressed 16-bit TIFF that is turned or has white as zero is not read; "
                    "save it uncompressed"
                ) from error
            values, axes = _compressed(path, data, deep=page.bitspersample > 8 and page.samplesperpixel > 1)
            # Pillow has turned it upright, made white the largest value, and RGB from YCbCr.
            turn = 1
            photometric = {"MINISWHITE": "MINISBLACK", "YCBCR": "RGB"}.get(photometric, photometric)
        if photometric not in ("MINISWHITE", "MINISBLACK", "RGB", "PALETTE"):
            raise InputError(f"{path}: a TIFF of colours {photometric} is not read; save it as grey or RGB")
        if photometric == "PALETTE" and page.colormap is not None and "S" not in axes:
            values, axes = np.moveaxis(np.asarray(page.colormap, np.uint16)[:, values], 0, -1), axes + "S"
    if values.dtype.kind == "b":
        values = values.astype(np.uint8) * np.uint8(255)
    if "S" not in axes:
        values, axes = values[..., None], axes + "S"
    values = np.moveaxis(values, axes.index("S"), -1)
    if values.ndim not in (3, 4):
        raise InputError(f"{path}: this TIFF has the axes {axes}; only pictures and one stack of pages are read")
    bits = 8 * values.dtype.itemsize
    top = 2**bits - 1
    if photometric == "MINISWHITE" and values.dtype.kind == "u":
        values = values.dtype.type(top) - values
    meta = {"format": "TIFF", "bits": bits, "maximum": top, "photometric_interpretation": photometric, "turn": turn}
    return values, meta | ({"palette": True} if photometric == "PALETTE" else {})


def _compressed(path: PathLike, data: bytes | None, *, deep: bool) -> tuple[NDArray[Any], str]:
    """LZW and JPEG in TIFF, which tifffile leaves to a further package: by ITK if Pillow would lose bits."""
    if deep:
        values = _itk(path, data, ".tif")
    else:
        with PIL.Image.open(handle(path, data)) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise InputError(f"{path}: compressed pages of a TIFF are not read; save it uncompressed or deflated")
            values = np.asarray(image)
    return values, "YXS" if values.ndim == 3 else "YX"


def _itk(path: PathLike, data: bytes | None, suffix: str) -> NDArray[Any]:
    import SimpleITK

    if data is None:
        return np.asarray(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"picture{suffix}"
        file.write_bytes(data)
        return np.asarray(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file))))


def _upright(values: NDArray[Any], turn: int) -> NDArray[Any]:
    """Undo EXIF's eight orientations on ``(…, H, W, C)``."""
    if turn in (5, 6, 7, 8):
        values = values.swapaxes(-3, -2)
    if turn in (3, 4, 7, 8):
        values = values[..., ::-1, :, :]
    if turn in (2, 3, 6, 7):
        values = values[..., :, ::-1, :]
    return values


def write_png(array: NDArray[Any], path: PathLike) -> Path:
    """Write 8-bit grey ``(H, W)`` or colour ``(H, W, 3)``.

    Raises:
        UsageError: another type, shape or suffix.
        InputError: the file cannot be written.
    """
    if extension(path) != ".png":
        raise UsageError(f"{path}: a PNG file ends in .png")
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise UsageError(f"{path}: a PNG is uint8, (H, W) or (H, W, 3), not {array.dtype} {tuple(array.shape)}")
    with atomic(path) as temporary:
        PIL.Image.fromarray(np.ascontiguousarray(array)).save(temporary, format="PNG")
    return Path(path)
