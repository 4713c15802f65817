"""One slice out of a volume, upright: the front or the head up, the patient's right on the picture's left."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from pellucid.data.masks import check_place
from pellucid.errors import InputError, UsageError
from pellucid.io import Image

Plane = Literal["axial", "coronal", "sagittal"]
# Axes of the volume as (columns, rows, slices); what the slices' axis is called; what the picture's sides are.
PLANES: dict[str, tuple[str, str, str]] = {
    "axial": ("LPS", "IS", "rows from front to back, columns from right to left"),
    "coronal": ("LIP", "AP", "rows from head to feet, columns from right to left"),
    "sagittal": ("PIL", "LR", "rows from head to feet, columns from front to back"),
}


def slice_of(
    image: Image, which: int | Literal["middle"] | None, *, plane: Plane = "axial", like: Image | None = None
) -> Image:
    """The picture ``(C, rows, columns)`` that is one slice; a picture is given back as it is.

    ``meta`` says which slice (``slice``), of which ``plane``, and which way the patient lies (``orientation``).

    Args:
        image: a volume with its place in the patient, frames, or a picture.
        which: the slice's place from 0 along the axis of the file that is nearest to the plane's normal; frames by
            number. None where there is one slice only.
        plane: of the slice; frames are taken as they are.
        like: of a mask, the volume that it was drawn on, in whose file ``which`` counts: the two may be stored with
            their axes turned or the other way round.

    Raises:
        UsageError: a plane that there is not.
        InputError: several slices and none is named, no such slice, a volume without a place in the patient, or
            a mask on another grid.
    """
    if plane not in PLANES:
        raise UsageError(f"plane={plane!r}; give one of {', '.join(PLANES)}")
    if len(image.spatial) == 2:
        if isinstance(which, int) and which != 0:
            raise InputError(f"{image.source}: slice {which} is asked for, and it is one picture; leave the cell empty")
        return image
    if image.geometry is None and image.meta.get("axes") != "frame row column":
        raise InputError(
            f"{image.source}: a volume without a place in the patient: which of its axes are rows and columns cannot "
            "be told; save it as NIfTI, or its slices as pictures"
        )
    if image.geometry is None:
        k = _number(image, which, image.spatial[0])
        return replace(image, array=image.array[:, k], spacing=image.meta.get("pixel_spacing"),
                       meta=dict(image.meta) | {"slice": k, "axes": "row column"})  # fmt: skip
    letters, ends, said = PLANES[plane]
    turned = image.reoriented(letters)
    counted = image
    if like is not None and like.geometry is not None:
        counted = like
        check_place(turned, like.reoriented(letters))
    stored = counted.geometry.orientation if counted.geometry is not None else ""
    along = next(i for i, letter in enumerate(stored) if letter in ends)
    k = _number(counted, which, counted.spatial[along])
    at = k if stored[along] == letters[2] else counted.spatial[along] - 1 - k
    columns, rows, _ = turned.spacing or (1.0, 1.0, 1.0)
    return replace(
        turned, array=np.swapaxes(turned.array[..., at], -1, -2), geometry=None, spacing=(rows, columns),
        meta=dict(image.meta) | {"axes": "row column", "slice": k, "plane": plane, "orientation": said},
    )  # fmt: skip


def _number(image: Image, which: int | Literal["middle"] | None, n: int) -> int:
    if which == "middle":
        return n // 2
    if which is None:
        if n == 1:
            return 0
        raise InputError(
            f"{image.source}: has {n} slices; name the one in a column (columns: {{slice: …}}), or set slice: middle"
        )
    if not 0 <= which < n:
        raise InputError(f"{image.source}: slice {which} of {n}; they are numbered from 0")
    return which
