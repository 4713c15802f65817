"""The slices of the LGG segmentation data: three sequences in one file, and a mask beside it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from pellucid.data.layout import Below
from pellucid.errors import InputError
from pellucid.io import Image, read

SEQUENCES = {"flair": 1, "t1": 0, "t1ce": 2}
"""Inputs, and which channel of the files each is: before contrast, FLAIR, after contrast."""

LAYOUT = (
    "the LGG segmentation data are kaggle_3m/TCGA_XX_XXXX_DATE/TCGA_XX_XXXX_DATE_N.tif, each with a "
    "TCGA_XX_XXXX_DATE_N_mask.tif beside it, and data.csv"
)
_SLICE = re.compile(r"TCGA_[^_]+_[^_]+_\d+_\d+\.tif")


class Ready(NamedTuple):
    """The three channels ``(3, *spatial)`` and the mask ``(1, *spatial)`` of a slice or volume, as stored."""

    image: Image
    mask: Image


def patients_in(below: Below) -> dict[str, dict[int, Path]]:
    """Folder of each patient to its slices by number, in their order.

    Raises:
        InputError: there is none.
    """
    found: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in below.matching(_SLICE):
        folder, _, number = path.stem.rpartition("_")
        found[folder][int(number)] = path
    if not found:
        raise InputError(f"{below.root}: no slices (TCGA_XX_XXXX_DATE_N.tif); {LAYOUT}; found {below.found()}")
    return {folder: dict(sorted(found[folder].items())) for folder in sorted(found)}


def patient_of(folder: str) -> str:
    """The patient whose folder it is: its name without the date."""
    return "_".join(folder.split("_")[:3])


def read_slice(path: Path) -> Ready | InputError:
    """A slice and its mask, or why they cannot be read."""
    drawn = path.with_name(f"{path.stem}_mask.tif")
    try:
        image = read(path)
        if len(image.array) != len(SEQUENCES):
            return InputError(f"{path.name}: has {len(image.array)} channels; before contrast, FLAIR, after it are 3")
        if not drawn.is_file():
            return InputError(f"its mask {drawn.name} is not there; fetch it again, or take the slice out")
        mask = read(drawn, scale=False)
    except InputError as error:
        return error
    if mask.spatial != image.spatial:
        return InputError(f"{drawn.name}: the mask is {mask.spatial}, the slice is {image.spatial}")
    return Ready(image, mask)


def missing_in(images: Sequence[Image]) -> tuple[str, ...]:
    """The sequences in whose place all slices of a patient have FLAIR, number by number."""
    flair = SEQUENCES["flair"]
    return tuple(
        name for name, channel in SEQUENCES.items()
        if channel != flair and images and all(np.array_equal(i.array[channel], i.array[flair]) for i in images)
    )  # fmt: skip


def chosen_of(
    found: Mapping[str, Ready | InputError], slices: Literal["all", "tumour"] | int
) -> dict[str, Ready | InputError]:
    """The slices that are asked for; of those that cannot be read nobody knows whether they show a tumour."""
    if slices == "tumour":
        return {id: r for id, r in found.items() if isinstance(r, InputError) or r.mask.array.any()}
    return dict(list(found.items())[:: 1 if slices == "all" else int(slices)])


def volume_of(folder: str, slices: Mapping[str, Ready | InputError]) -> Ready | InputError:
    """The slices one behind the other, ``(C, H, W, slices)``."""
    for ready in slices.values():
        if isinstance(ready, InputError):
            return ready  # a volume without one of its slices would be a shorter one
    good = [ready for ready in slices.values() if isinstance(ready, Ready)]
    sizes = {ready.image.spatial for ready in good}
    if len(sizes) > 1:
        return InputError(f"case {folder}: its slices are of {len(sizes)} sizes ({sorted(sizes)}), and make no volume")
    image, mask = (
        replace(images[0], array=np.stack([i.array for i in images], -1))
        for images in ([r.image for r in good], [r.mask for r in good])
    )
    return Ready(image, mask)
