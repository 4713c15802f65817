"""ChestX-Det10: chest X-rays of the NIH with boxes around ten findings, and the form in which SegX used them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.data.boxes import box_mask, polygon_mask
from pellucid.data.case_list import CaseList, collect
from pellucid.data.chest_lists import FINDINGS, LAYOUT, from_table, listed
from pellucid.data.layout import Below
from pellucid.data.masks import mask_on
from pellucid.data.pictures import full_size, resized, with_channels
from pellucid.data.registry import DATASETS
from pellucid.errors import InputError, UsageError
from pellucid.io import read
from pellucid.io.files import extension, stem
from pellucid.io.reader import SUFFIXES

_NIH = re.compile(r"(\d{8})_\d{3}")
_MASKS = re.compile(r"(^|[_ -])masks?($|[_ -])", re.IGNORECASE)


@DATASETS.register("chestxdet10")
def load_chestxdet10(
    root: str | Path,
    *,
    csv: str | Path | None = None,
    lung_masks: str | Path | None = None,
    findings: Sequence[str] | None = None,
    task: Literal["classification", "segmentation"] = "classification",
    masks: Literal["required", "optional"] = "required",
    size: int | Sequence[int] | None = 256,
    channels: int = 1,
    limit: int | None = None,
) -> CaseList:
    """The cases of ChestX-Det10 (and of ChestX-Det, which has outlines); one that fails is noted in ``.failed``.

    ``truth`` is a vector of 0 and 1 over the findings; each that is there is a region, and ``"findings"`` their union.
    ``meta["part"]`` is ``"train"`` or ``"test"`` of the published lists. A case's group is the NIH's patient, which the
    file's name begins with; where the files are numbered otherwise the patients are unknown and each picture is a group
    of its own: ``meta["group_is"]`` is ``"patient"`` or ``"picture"``. Source: liu2020chestx.

    Args:
        root: the folder of the unpacked files.
        csv: a table with a column ``image_id`` and one of 0 and 1 per finding, instead of the published lists; a column
            ``patient`` is the group. It knows no boxes.
        lung_masks: folder of masks of both lungs, files of the pictures' names: the region ``"lungs"``.
        findings: which, in the order of ``truth``; the ten of ChestX-Det10 if None. Others in the lists are left out.
        task: what ``truth`` is: the findings, or for ``"segmentation"`` the mask of the lungs.
        masks: of the lungs: ``"required"``: a case without one fails; ``"optional"``: it has no such region.
        size: rows and columns, or one number for both. As stored if None.
        channels: 1, or 3 for grey repeated.
        limit: keep the first pictures only.

    Raises:
        InputError: another layout (what was expected, and what was found), a finding that is not among the ten and
            ``findings`` does not say what to do, or no case that can be read.
        UsageError: a segmentation without masks of the lungs.
    """
    for name, value, known in (
        ("task", task, ("classification", "segmentation")), ("masks", masks, ("required", "optional")),
    ):  # fmt: skip
        if value not in known:
            raise UsageError(f"chestxdet10: {name}={value!r}; give one of {', '.join(known)}")
    if task == "segmentation" and (lung_masks is None or masks != "required"):
        raise UsageError("chestxdet10: a segmentation learns the lungs; give their masks, lung_masks=…, all required")
    root = Path(root)
    drawn = None if lung_masks is None else (root / lung_masks).resolve()
    # A mask bears its picture's name: where the picture is missing the mask must not be taken for it.
    below = Below(root, skip=lambda folder: bool(_MASKS.search(folder.name)) or folder.resolve() == drawn)
    names = tuple(FINDINGS if findings is None else findings)
    rows = (listed(below, findings) if csv is None else from_table(root / csv, names))[:limit]
    files = {stem(row["file_name"]): _files(row["file_name"]) for row in rows}
    below.need_any(files.values(), what="pictures", layout=LAYOUT)
    lungs = None if lung_masks is None else Below(root / lung_masks)
    if lungs is not None and masks == "required":
        lungs.need_any([_files(id) for id in files], what="masks of the lungs", layout="check lung_masks")

    def make(id: str, row: dict[str, Any]) -> Case:
        path = below.find(*files[id], within=row.get("part", ""))
        if path is None:
            raise InputError(f"its picture {row['file_name']} is nowhere below {root}; add it, or take it off the list")
        image = with_channels(read(path), channels)
        small = resized(image, full_size(size, 2))
        grid: tuple[Any, Any] = (image.spatial, small.spatial)
        regions = _drawn(row, names, *grid, case=id)
        if lungs is not None:
            regions |= _lungs(lungs, id, *grid, required=masks == "required")
        truth = row["truth"](id) if "truth" in row else torch.tensor([int(f in row["syms"]) for f in names])
        nih = _NIH.fullmatch(id)
        group = row.get("group") or (nih[1] if nih else None)
        meta = {k: row[k] for k in ("part",) if k in row} | {"group_is": "patient" if group else "picture"}
        meta["class"] = "|".join(f for f, there in zip(names, truth) if there) or "no finding"
        return Case(
            id=id, inputs={"image": torch.from_numpy(small.array)}, regions=regions, group=group, meta=meta,
            truth=regions["lungs"].to(torch.int64) if task == "segmentation" else truth,
        )  # fmt: skip

    return collect([(stem(row["file_name"]), row) for row in rows], make, source="chestxdet10")


def _files(name: str) -> tuple[str, ...]:
    """The names that the file of a picture, or a mask, may have."""
    name = Path(name).name
    return (name,) if extension(name) in SUFFIXES else tuple(f"{name}{s}" for s in (".png", ".jpg", ".jpeg", ".tif"))


def _drawn(
    row: Mapping[str, Any], names: Sequence[str], original: tuple[int, int], size: tuple[int, int], *, case: str
) -> dict[str, Tensor]:
    """A region per finding from its outlines, or else its boxes, and ``"findings"``, their union."""
    out: dict[str, Tensor] = {}
    shapes = row.get("polygons") or row.get("boxes", [])
    kinds = row.get("syms", [])
    if len(shapes) != len(kinds):
        raise InputError(f"case {case}: {len(kinds)} findings and {len(shapes)} boxes or outlines; correct the list")
    for kind, shape in zip(kinds, shapes):
        if kind not in names:
            continue
        if row.get("polygons"):
            mask = polygon_mask(shape, original, size, where=f"case {case}")
        else:
            try:
                left, top, right, bottom = (float(v) for v in shape)
            except (TypeError, ValueError) as error:
                raise InputError(f"case {case}: a box of {kind} is {shape!r}, not left, top, right, bottom") from error
            mask = box_mask((left, top, right - left, bottom - top), original, size, where=f"case {case}")
        for region in (kind, "findings"):
            out[region] = out[region] | mask if region in out else mask
    return out


def _lungs(
    lungs: Below, id: str, original: tuple[int, int], size: tuple[int, int], *, required: bool
) -> dict[str, Tensor]:
    path = lungs.find(*_files(id))
    if path is not None:
        drawn = read(path, scale=False)
        return {"lungs": mask_on(drawn, original=original, size=size, what="mask 'lungs'", binary=True)}
    if required:
        raise InputError(f"case {id}: no mask of its lungs in {lungs.root}; add it, or set masks: optional")
    return {}
