"""Slices of MRI, several of a patient, listed in a table with their class and patient: the layout of the MRI study."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from pellucid.core.case import Case
from pellucid.data.case_list import CaseList, collect
from pellucid.data.labels import truth_of
from pellucid.data.layout import Below
from pellucid.data.masks import mask_on
from pellucid.data.pictures import full_size, resized, squared, with_channels
from pellucid.data.planes import Plane, slice_of
from pellucid.data.registry import DATASETS
from pellucid.data.slice_table import Line, check_groups, read_lines, shared_names
from pellucid.errors import InputError, UsageError
from pellucid.io import Image, read
from pellucid.io.files import stem
from pellucid.io.reader import SUFFIXES

LOG = logging.getLogger("pellucid")


@DATASETS.register("mri_slices")
def load_mri_slices(
    root: str | Path,
    *,
    csv: str | Path = "data.csv",
    delimiter: str | None = None,
    columns: Mapping[str, str] | None = None,
    images: str | Path = "images",
    classes: Sequence[str] | None = None,
    mask: str | Path | None = None,
    regions: Mapping[str, str | Path] | None = None,
    meta: Sequence[str] = (),
    mixed: Literal["fail", "keep"] = "fail",
    slice: int | Literal["middle"] | None = None,
    plane: Plane = "axial",
    pad: Literal["square", "size", "none"] = "square",
    background: float | Literal["min"] = 0.0,
    size: int | Sequence[int] | None = 224,
    channels: int = 1,
    limit: int | None = None,
) -> CaseList:
    """Slices of MRI from a table with a line for each; one that fails is noted in ``.failed``.

    A case's group is the patient. Pictures are PNG, JPEG, TIFF, DICOM, or one slice of a NIfTI volume or of a folder
    with a DICOM series; they are found below ``images``, in the folder of their class if there are such folders. A mask
    of a volume is a volume on its grid, however its axes are stored.

    Args:
        root: the study's folder; the other paths are relative to it.
        csv: the table.
        delimiter: of the table; found in its first line if None.
        columns: our name (``img_name``, ``label``, ``group``, and if wanted ``slice`` and ``id``) to the table's.
        images: folder of the pictures.
        classes: names of the classes in the order of the class index. A label is one of them, or a number from 0.
        mask: folder of masks of the leg (or whatever is looked at), files of the pictures' names. What lies outside
            becomes ``background``; the mask is the region ``"mask"``. A slice without one fails.
        regions: name to folder of further masks, such as lesions; a slice without a file has no such region.
        meta: columns that go to ``Case.meta``.
        mixed: a patient with slices of several classes: ``"fail"`` is an error, for in most studies the class is the
            patient's; ``"keep"`` takes them, each slice with its own class.
        slice: of volumes, from 0 as in the file, or ``"middle"``; a cell of the column ``slice`` comes first.
        plane: of volumes: ``"axial"``, ``"coronal"`` or ``"sagittal"``.
        pad: before resizing: ``"square"``: to a square as long as the longer side, the picture in the middle;
            ``"size"``: to no less than ``size``, so that small pictures are framed, not enlarged; ``"none"``: not
            padded, so proportions are lost.
        background: value of what is padded and of what lies outside the mask: a number, in the units of the file (PNG
            and the like are in [0, 1]), or ``"min"``, the slice's smallest. 0, no signal, is right for magnitudes.
        size: rows and columns, or one number for both; as stored (and padded) if None.
        channels: 1, or 3 for grey repeated.
        limit: keep the first lines only.

    Raises:
        InputError: no such table, column or folder, a patient in two classes, or no case that can be read.
        UsageError: an option out of range.

    Example:
        ``load_mri_slices("myopathy", classes=["healthy", "affected"], mask="mask", regions={"lesion": "lesion"})``
    """
    _check_options(mixed=mixed, slice=slice, plane=plane, pad=pad, background=background, size=size)
    root, target = Path(root), full_size(size, 2)
    path = root / csv
    lines = read_lines(path, delimiter=delimiter, columns=columns, meta=meta)[:limit]
    check_groups(lines, path, mixed=mixed)
    pictures = Below(root / images)
    drawn = {name: Below(root / folder) for name, folder in (regions or {}).items()}
    if mask is not None:
        drawn["mask"] = Below(root / mask)
    cached = functools.lru_cache(maxsize=1 + len(drawn))(read)  # slices of one volume follow each other
    shared = shared_names(lines)

    def volume_in(where: Below, line: Line, label: str, **how: Any) -> Image | None:
        found = _find(where, line.file, label, alone=stem(line.file) not in shared)
        return None if found is None else cached(found, **how)

    def make(id: str, line: Line) -> Case:
        if line.group.lower() in ("", "nan"):
            raise InputError("its patient is not in the table, so a split could leak; fill in the column of the group")
        truth = truth_of(line.label, case=id, column="label", classes=classes)
        label = str(classes[truth]) if classes is not None and isinstance(truth, int) else line.label
        stored = volume_in(pictures, line, label)
        if stored is None:
            folders = ", or not in the folders that the table names" if "/" in line.file else ""
            raise InputError(
                f"its picture {line.file} is nowhere below {pictures.root}{folders}; add it, or take the line out"
            )
        which = slice if line.slice is None else line.slice
        image = with_channels(slice_of(stored, which, plane=plane), channels)
        dark = _darkness(image, background)
        masks = {}
        for name, folder in drawn.items():
            mark = volume_in(folder, line, label, scale=False)
            if mark is not None:
                seen = slice_of(mark, which, plane=plane, like=stored)
                on = mask_on(seen, original=image.spatial, size=image.spatial, what=f"mask {name!r}", binary=True)
                masks[name] = Image(array=on.numpy()[None], source=seen.source)
            elif name == "mask":
                raise InputError(f"{line.file} has no mask in {folder.root}; add it: the others are cut out by theirs")
        if "mask" in masks:
            if not masks["mask"].array.any():
                raise InputError(f"its mask in {drawn['mask'].root} is empty, so nothing is left of it; draw it anew")
            image = replace(image, array=np.where(masks["mask"].array > 0, image.array, np.float32(dark)))

        def fitted(image: Image, value: float, *, labels: bool = False) -> Image:
            if pad != "none":
                image = squared(image, value, at_least=target if pad == "size" else None)
            return resized(image, target, labels=labels)

        said = {c: line.row[c] for c in meta if not pd.isna(line.row[c])} | {"group_is": "patient"}
        said |= {"class": label} if truth is not None else {}
        return fitted(image, dark).to_case(
            id=id, truth=truth, group=line.group, meta=said,
            regions={k: torch.from_numpy(fitted(m, 0.0, labels=True).array[0] > 0) for k, m in masks.items()},
        )  # fmt: skip

    cases = collect([(line.id, line) for line in lines], make, source=str(path))
    for name in regions or {}:
        n = sum(name in c.regions for c in cases)
        LOG.log(logging.INFO if n else logging.WARNING, "%s: %d of %d slices have a mask %r", csv, n, len(cases), name)
    return cases


def _check_options(*, mixed: str, slice: Any, plane: str, pad: str, background: Any, size: Any) -> None:
    for name, value, known in (
        ("mixed", mixed, ("fail", "keep")), ("pad", pad, ("square", "size", "none")),
        ("plane", plane, ("axial", "coronal", "sagittal")),
    ):  # fmt: skip
        if value not in known:
            raise UsageError(f"mri_slices: {name}={value!r}; give one of {', '.join(known)}")
    if background != "min" and (isinstance(background, str) or not np.isfinite(background)):
        raise UsageError(f"mri_slices: background={background!r}; give a number, or 'min'")
    if slice not in (None, "middle") and (not isinstance(slice, int) or slice < 0):
        raise UsageError(f"mri_slices: slice={slice!r}; give a number from 0, or 'middle'")
    if pad == "size" and size is None:
        raise UsageError("mri_slices: pad='size' frames the slices to a size: give size")


def _find(where: Below, file: str, label: str, *, alone: bool) -> Path | None:
    """The file of a name, or of its stem with another suffix: as given, in its class's folder, or anywhere below.

    Args:
        where: to look.
        file: as the table has it. Folders that it names have to be those where the file lies, as far as both go.
        label: of the line, which may be a folder's name.
        alone: whether no other patient has a file of that name; else only the folders tell whose it is.

    Raises:
        InputError: it lies in several places, or outside of the folder.
    """
    if not file:
        raise InputError("no file is named in its line; fill it in, or take the line out")
    parts = PurePosixPath(file).parts
    if ".." in parts:
        raise InputError(f"{file} leads out of {where.root}; write it as it lies within that folder")
    names = (file, *(str(Path(file).with_name(stem(file) + s)) for s in SUFFIXES))
    for folder in (where.root, where.root / label) if label else (where.root,):
        for name in names:
            if (folder / name).exists():
                return folder / name
    for name in names:
        paths = [p for p in where.every(Path(name).name) if _fits(p.relative_to(where.root), parts[:-1], label, alone)]
        if len(paths) > 1:
            raise InputError(
                f"{Path(name).name} lies in {len(paths)} folders below {where.root}; write the folder into the table "
                "too, as folder/name"
            )
        if paths:
            return paths[0]
    return None


def _fits(path: Path, folders: Sequence[str], label: str, alone: bool) -> bool:
    """Whether a file of the right name is the one that is meant."""
    own = path.parts[:-1]
    if alone:
        n = min(len(own), len(folders))
        return n == 0 or tuple(own[-n:]) == tuple(folders[-n:])
    return any(ends and tuple(own[-len(ends) :]) == tuple(ends) for ends in (folders, [*folders, label]))


def _darkness(image: Image, background: float | Literal["min"]) -> float:
    """The value of the background.

    Raises:
        InputError: the slice has values well below it, so that it would be a grey in the middle.
    """
    low, high = float(image.array.min()), float(image.array.max())
    if background == "min":
        return low
    if low < background - 0.02 * (high - low):
        raise InputError(
            f"{image.source}: has values down to {low:.4g}, so a background of {background:g} would be a grey among "
            "them; set background: min, or to the value of air"
        )
    return float(background)
