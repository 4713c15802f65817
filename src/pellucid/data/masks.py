"""Masks on the grid of their picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.core.geometry import Geometry
from pellucid.data.pictures import as_mask, resized
from pellucid.data.segments import is_segmentation, label_map_of, on_all_planes
from pellucid.errors import InputError
from pellucid.io import Image


def check_place(mask: Image, volume: Image) -> None:
    """Make sure that a mask lies on its volume, both with their axes alike and a place in the patient.

    Raises:
        InputError: another grid, or the same one elsewhere.
    """
    assert mask.geometry is not None
    assert volume.geometry is not None
    if mask.spatial != volume.spatial:
        raise InputError(
            f"{mask.source}: the mask's grid is {mask.spatial}, the volume's {volume.spatial} (both turned alike); "
            "resample it onto the volume's grid"
        )
    apart = mask.geometry.apart(volume.geometry)
    if apart > 0.5 * min(volume.geometry.spacing):
        raise InputError(
            f"{mask.source}: the mask lies {apart:.3g} mm from where the volume is; resample it onto the volume's "
            "grid, or correct its affine"
        )


def turned_like(mask: Image, picture: Image) -> Image:
    """A volume's mask with its axes as the volume's, however it is stored; others as they are.

    A DICOM segmentation becomes one label map, its segments numbered from 1, on all planes of the volume.

    Raises:
        InputError: it does not lie where the volume lies, or does not say where it lies and the volume was turned.
    """
    if picture.geometry is None:
        return mask
    if mask.geometry is None:
        stored = Geometry(np.asarray(picture.geometry.source_affine), picture.spatial).orientation
        if stored != picture.geometry.orientation:
            raise InputError(
                f"{mask.source}: has no place in the patient, and its volume was turned from {stored} to "
                f"{picture.geometry.orientation}; save the mask as NIfTI"
            )
        return mask
    turned = mask.reoriented(picture.geometry.orientation)
    if is_segmentation(mask):
        turned = on_all_planes(label_map_of(turned), picture)
    check_place(turned, picture)
    return turned


def mask_on(
    drawn: Image, *, original: tuple[int, ...], size: tuple[int, ...], what: str, binary: bool = False
) -> Tensor:
    """A mask ``(*size)``: bool, or integer labels if it has several values; nearest neighbour.

    Args:
        drawn: the mask, read with ``scale=False``.
        original: size of the picture as it is stored. A mask of another size is taken if it has the same proportions.
        size: of the result.
        what: its name in a message.
        binary: refuse all but 0 and one other value.

    Raises:
        InputError: other proportions than the picture's, values that make no mask.
    """
    if drawn.spatial != original and not _proportional(drawn.spatial, original):
        why = "which has other proportions; it belongs to another picture, or was cut: draw it on this one"
        if len(original) != 2:
            why = "and where it lies cannot be guessed: resample it onto the image's grid"
        raise InputError(f"{drawn.source}: {what} is {drawn.spatial}, the image is {original}, {why}")
    if binary:
        drawn = replace(drawn, array=_two_values(drawn, what))
    return torch.from_numpy(as_mask(resized(drawn, size, labels=True), what=what))


def _proportional(mask: tuple[int, ...], picture: tuple[int, ...]) -> bool:
    """Whether they differ by a factor, up to a pixel of the mask; of volumes, which have places, it is not asked."""
    if len(mask) != 2 or len(picture) != 2:
        return False
    axis = int(np.argmax(picture))
    factor = mask[axis] / picture[axis]
    return all(abs(m - factor * p) <= 1 for m, p in zip(mask, picture))


def _two_values(drawn: Image, what: str) -> Any:
    values = np.unique(drawn.array)
    if len(values) > 2 or (len(values) == 2 and values[0] != 0):
        shown = ", ".join(f"{v:g}" for v in values[:6]) + (" …" if len(values) > 6 else "")
        span = values[-1] - values[0]
        extreme = np.minimum(drawn.array - values[0], values[-1] - drawn.array) <= 0.15 * span
        if len(values) > 3 and span > 32 and extreme.mean() > 0.8:
            why = "looks as if it had been saved as JPEG: threshold it in the middle, and save it as PNG"
        else:
            why = "has to have two values, 0 and another: save each class as a mask of its own"
        raise InputError(f"{drawn.source}: {what} has {len(values)} values ({shown}); it {why}")
    return (drawn.array != 0).astype(np.float32)
