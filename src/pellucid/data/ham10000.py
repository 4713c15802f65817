"""HAM10000: 10015 dermoscopy pictures of 7470 pigmented lesions in seven classes, with masks of the lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from pellucid.core.case import Case
from pellucid.data.case_list import CaseList, collect
from pellucid.data.labels import truth_of
from pellucid.data.layout import Below
from pellucid.data.masks import mask_on
from pellucid.data.pictures import full_size, resized, with_channels
from pellucid.data.registry import DATASETS
from pellucid.errors import InputError, UsageError
from pellucid.io import read, read_table

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
"""In the order of the class index."""

_TABLES = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab", "metadata.csv")
_LAYOUT = (
    "HAM10000 is a table HAM10000_metadata.csv (or HAM10000_metadata), pictures ISIC_*.jpg in "
    "HAM10000_images_part_1/ and HAM10000_images_part_2/, masks ISIC_*_segmentation.png in "
    "HAM10000_segmentations_lesion_tschandl/"
)


@DATASETS.register("ham10000")
def load_ham10000(
    root: str | Path,
    *,
    task: Literal["classification", "segmentation"] = "classification",
    masks: Literal["required", "optional", "none"] = "required",
    size: int | Sequence[int] | None = 256,
    channels: int = 3,
    limit: int | None = None,
) -> CaseList:
    """The cases of HAM10000 as it is published (Harvard Dataverse, Kaggle); one that fails is noted in ``.failed``.

    The files are found by name wherever they lie below ``root``. A case's group is its lesion, for many lesions have
    several pictures; ``truth`` is the index in :data:`CLASSES`, the region ``"lesion"`` the mask. Source:
    tschandl2018ham.

    Args:
        root: the folder of the unpacked files.
        task: what ``truth`` is: the class, or for ``"segmentation"`` the lesion's mask. Cases and groups are the same.
        masks: ``"required"``: a case without its mask fails; ``"optional"``: it has no region; ``"none"``: not read.
        size: rows and columns, or one number for both; proportions are not kept. As stored if None.
        channels: 3, or 1 for grey.
        limit: keep the first pictures of the table only.

    Raises:
        InputError: another layout (what was expected, and what was found), or no case that can be read.
        UsageError: a segmentation whose masks may be absent.
    """
    for name, value, known in (
        ("task", task, ("classification", "segmentation")), ("masks", masks, ("required", "optional", "none")),
    ):  # fmt: skip
        if value not in known:
            raise UsageError(f"ham10000: {name}={value!r}; give one of {', '.join(known)}")
    if task == "segmentation" and masks != "required":
        raise UsageError(f"ham10000: a segmentation needs the masks, and masks is {masks!r}; leave it out")
    below = Below(root)
    path = below.need(*_TABLES, what="table", layout=_LAYOUT)
    table = read_table(path, text=("lesion_id", "image_id", "dx"))
    rows = [(str(row["image_id"]), row) for row in table.to_dict("records")[:limit]]
    below.need_any([(f"{id}.jpg",) for id, _ in rows], what="pictures", layout=_LAYOUT)
    if masks == "required":
        layout = f"{_LAYOUT}; the masks are a file of their own on the Dataverse. Without them set masks: optional"
        below.need_any([(f"{id}_segmentation.png",) for id, _ in rows], what="masks", layout=layout)

    def make(id: str, row: Mapping[Any, Any]) -> Case:
        if not row["lesion_id"]:
            raise InputError("no lesion_id in the table: which pictures show the same lesion is unknown; fill it in")
        image = with_channels(read(_there(below, f"{id}.jpg", "picture")), channels)
        small = resized(image, full_size(size, 2))
        regions = {}
        drawn = below.find(f"{id}_segmentation.png") if masks != "none" else None
        if drawn is not None or masks == "required":
            drawn = drawn or _there(below, f"{id}_segmentation.png", "mask")
            mask = read(drawn, scale=False)
            regions["lesion"] = mask_on(
                mask, original=image.spatial, size=small.spatial, what="mask 'lesion'", binary=True
            )
        truth: Any = truth_of(row["dx"], case=id, column="dx", classes=CLASSES)
        if task == "segmentation":
            truth = regions["lesion"].to(torch.int64)
        inputs = {"image": torch.from_numpy(small.array)}
        return Case(id=id, inputs=inputs, truth=truth, regions=regions, group=row["lesion_id"], meta=_meta(row))

    return collect(rows, make, source="ham10000")


def _there(below: Below, name: str, what: str) -> Path:
    path = below.find(name)
    if path is None:
        raise InputError(f"its {what} {name} is nowhere below {below.root}; add it, or take the line out of the table")
    return path


def _meta(row: Mapping[Any, Any]) -> dict[str, Any]:
    known = {k: row[k] for k in ("age", "sex", "localization", "dx_type") if k in row and row[k] == row[k]}
    known |= {"class": row["dx"]} if row["dx"] else {}
    known["group_is"] = "lesion"
    if "age" in known:
        known["age"] = float(known["age"]) if isinstance(known["age"], int | float) else str(known["age"])
    return known
