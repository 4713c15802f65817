"""Pictures for cases: out of a folder or an archive, to a common size and number of channels."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.core.geometry import Geometry
from pellucid.core.resample import resampled
from pellucid.errors import InputError, UsageError
from pellucid.io import Image, read

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as JPEG has it


class Pictures:
    """Reads pictures by name from a folder, or from a ``.zip`` without unpacking it. Use in a ``with``."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self._archive: zipfile.ZipFile | None = None
        if where.suffix.lower() == ".zip":
            try:
                self._archive = zipfile.ZipFile(where)
            except FileNotFoundError as error:
                raise InputError(f"{where}: no such archive; check images=…") from error
            except (zipfile.BadZipFile, OSError) as error:
                raise InputError(f"{where}: cannot be read as a zip archive ({error}); fetch it again") from error
        elif not where.is_dir():
            raise InputError(f"{where}: no such folder or .zip; check images=…")

    def __enter__(self) -> Pictures:
        return self

    def __exit__(self, *_: object) -> None:
        if self._archive is not None:
            self._archive.close()

    def has(self, name: str) -> bool:
        """Whether there is such a file or member."""
        if self._archive is None:
            return (self.where / name).exists()
        return name in self._archive.NameToInfo

    def read(self, name: str, **options: Any) -> Image:
        """Read one picture; ``options`` are those of :func:`pellucid.io.read`.

        Raises:
            InputError: no such file or member, or it cannot be read.
        """
        if not name:
            raise InputError(f"{self.where}: no file name is given; fill in the column, or take the row out")
        if self._archive is None:
            return read(self.where / name, **options)
        try:
            data = self._archive.read(name)
        except KeyError as error:
            raise InputError(f"{self.where}: no member {name!r} in this archive") from error
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
            raise InputError(f"{self.where}: member {name!r} cannot be unpacked ({error})") from error
        return read(f"{self.where}/{name}", data=data, **options)


def with_channels(image: Image, channels: int | None) -> Image:
    """The picture with that many channels: grey from colour by luma, colour from grey by repetition.

    Raises:
        InputError: numbers of channels between which there is no such way.
    """
    have = len(image.array)
    if channels is None or have == channels:
        return image
    if have == 3 and channels == 1:
        return replace(image, array=np.tensordot(_LUMA, image.array, axes=1)[None])
    if have == 1:
        return replace(image, array=np.repeat(image.array, channels, axis=0))
    raise InputError(f"{image.source}: has {have} channels, {channels} are asked for; set channels={have}")


def full_size(size: int | Sequence[int] | None, ndim: int) -> tuple[int, ...] | None:
    """``size`` for each of ``ndim`` spatial axes, None if nothing is to be resized.

    Raises:
        UsageError: lengths that do not fit.
    """
    if size is None:
        return None
    out = (int(size),) * ndim if isinstance(size, int) else tuple(int(s) for s in size)
    if len(out) != ndim or min(out) < 1:
        raise UsageError(f"size={size}: give one length of at least 1, or one for each of the {ndim} spatial axes")
    return out


def resized(image: Image, size: tuple[int, ...] | None, *, labels: bool = False) -> Image:
    """The picture on ``size`` pixels: linear with antialiasing, or nearest for ``labels``; spacing goes along.

    A resized volume's geometry describes the new grid alone: its maps are written on that grid, not on the file's.
    """
    if size is None or size == image.spatial:
        return image
    array = _nearest(image.array, size) if labels else _linear(image.array, size)
    factors = [old / new for old, new in zip(image.spatial, size)]
    spacing = None if image.spacing is None else tuple(s * f for s, f in zip(image.spacing, factors))
    geometry = None
    if image.geometry is not None:
        # Edges stay where they are: the first voxel's centre moves by half the change of its length.
        step = np.diag([*factors, 1.0])
        step[:3, 3] = [(f - 1) / 2 for f in factors]
        geometry = Geometry(image.geometry.affine @ step, size)
    return replace(image, array=array, spacing=spacing, geometry=geometry)


def respaced(image: Image, spacing: float | Sequence[float] | None, *, labels: bool = False) -> Image:
    """The volume with voxels of ``spacing`` mm along its axes: linear, or nearest neighbour for ``labels``.

    Its maps are resampled back onto the grid of its file when they are saved.

    Raises:
        InputError: no volume, or one without a place in the patient.
        UsageError: no spacing that can be.
    """
    if spacing is None:
        return image
    if image.geometry is None:
        raise InputError(
            f"{image.source}: has no place in the patient, so spacing={spacing} has no meaning; leave it out"
        )
    to = image.geometry.respaced(spacing)
    if to is image.geometry:
        return image
    array = resampled(
        image.array, affine=image.geometry.affine, to_affine=to.affine, to_shape=to.shape, labels=labels
    )
    return replace(image, array=array, geometry=to)


def windowed(image: Image, window: Sequence[float] | None) -> Image:
    """The picture with ``window``, in its own units, brought to [0, 1], what is beyond it clipped.

    Raises:
        UsageError: no two ends, the lower first.
    """
    if window is None:
        return image
    ends = tuple(float(v) for v in window)
    if len(ends) != 2 or not (np.isfinite(ends).all() and ends[0] < ends[1]):
        raise UsageError(f"window={window!r}; give the lower and the upper end, in the units of the picture")
    low, high = ends
    shown = None if image.window is None else tuple((v - low) / (high - low) for v in image.window)
    array = (np.clip(image.array, low, high) - np.float32(low)) / np.float32(high - low)
    return replace(image, array=array, window=shown)  # type: ignore[arg-type]


def squared(image: Image, value: float, *, at_least: Sequence[int] | None = None) -> Image:
    """The picture ``(C, H, W)`` in the middle of a square of ``value`` as long as its longer side, or ``at_least``."""
    height, width = image.spatial
    side = max(height, width, *(at_least or ()))
    top, left = (side - height) // 2, (side - width) // 2
    edges = ((0, 0), (top, side - height - top), (left, side - width - left))
    return replace(image, array=np.pad(image.array, edges, constant_values=np.float32(value)))


def _linear(array: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    if len(size) == 2:
        x = torch.from_numpy(array)[None]
        y = torch.nn.functional.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
        return y[0].numpy()
    from skimage.transform import resize

    out = [resize(c, size, order=1, mode="edge", anti_aliasing=True, preserve_range=True) for c in array]
    return np.stack(out).astype(np.float32)


def _nearest(array: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    x = torch.from_numpy(array)[None]
    return torch.nn.functional.interpolate(x, size, mode="nearest-exact")[0].numpy()


def as_mask(image: Image, *, what: str) -> NDArray[Any]:
    """A mask picture as ``(*spatial)``: bool if it has two values one of which is 0, else an integer label map.

    Raises:
        InputError: several channels that differ, or values that are not whole.
    """
    array = image.array
    if len(array) > 1 and not (array == array[:1]).all():
        raise InputError(f"{image.source}: {what} has {len(array)} channels that differ; a mask is one grey picture")
    values = np.unique(array[0])
    if len(values) <= 2 and (len(values) < 2 or values[0] == 0):
        return array[0] != 0
    if (values != np.round(values)).any():
        raise InputError(f"{image.source}: {what} has fractional values; save it as integers")
    return array[0].astype(np.int64)
