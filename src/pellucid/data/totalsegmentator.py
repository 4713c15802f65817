"""TotalSegmentator's data set, version 2: CT scans with masks of 117 structures, a file each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.geometry import Geometry
from pellucid.data.case_list import CaseList, collect
from pellucid.data.ct_volume import Preparation
from pellucid.data.progress import reading
from pellucid.data.registry import DATASETS
from pellucid.data.scan_table import ScanTable
from pellucid.data.structure_masks import SUFFIX, label_map
from pellucid.data.structures import classes_of
from pellucid.data.volume_cache import VolumeCache
from pellucid.errors import InputError, UsageError, nearest
from pellucid.io.files import stem

LOG = logging.getLogger("pellucid")
SCAN, MASKS, REGION = "ct.nii.gz", "segmentations", "organs"
DISPLAY = (-1000.0, 400.0)  # HU: lung, soft tissue and bone in one picture
Classes = Mapping[str, tuple[str, ...]]


@DATASETS.register("totalsegmentator")
def load_totalsegmentator(
    root: str | Path,
    *,
    classes: str | Sequence[str] = "agg2exp",
    join: Mapping[str, str | Sequence[str]] | None = None,
    masks: Literal["required", "none"] = "required",
    resample_masks: bool = False,
    split: str | Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    limit: int | None = None,
    orientation: str = "RAS",
    crop: Literal["body"] | None = None,
    hu: Sequence[float] | None = (-1024.0, 1024.0),
    spacing: float | Sequence[float] | None = 1.5,
    nan: float | None = None,
    cache: str | Path | None = None,
) -> CaseList:
    """The scans of TotalSegmentator's data set, or of others in its layout; one that fails is noted in ``.failed``.

    A case has the input ``ct`` ``(1, X, Y, Z)``; its label map, 0 the background and k the k-th class, is its truth and
    its region ``"organs"``. A map that is saved as NIfTI lies on the grid of the scan's file. The data name no
    patients: a case's group is its scan. Source: wasserthal2023totalsegmentator.

    Args:
        root: the unpacked folder, with a folder for each scan.
        classes: structures or names of ``join``, in the order of the labels from 1; or ``"agg2exp"``, the sixteen of
            Agg²Exp, or ``"all"``, the 117.
        join: class to the structures that make it; ``*`` in a name stands for anything.
        masks: ``"none"``: masks are not read, and there is no truth.
        resample_masks: masks on another grid than their scan's are brought onto it by nearest neighbour.
        split: keep the scans of this part of the published split (``train``, ``val``, ``test``), or of these.
        ids: keep these scans.
        limit: keep the first scans only.
        orientation: of the axes.
        crop: ``"body"``: the box around the body is kept, without the air beside it.
        hu: the window that becomes [0, 1], what is beyond it clipped; None keeps HU.
        spacing: millimetres, one number or three: scans linearly, masks by nearest neighbour; None keeps the grid.
        nan: what stands in for NaN and infinite values, in HU; a scan that has any fails if None.
        cache: a folder, seen from ``root``, where each prepared case is kept in a file, which a second start reads.

    Raises:
        InputError: another layout, a structure that no scan has, an id that occurs twice or is not there, or no case
            that can be read.
        UsageError: an option out of range.
    """
    if masks not in ("required", "none"):
        raise UsageError(f"totalsegmentator: masks={masks!r}; give 'required' or 'none'")
    how = Preparation(orientation=orientation, crop=crop, hu=hu, spacing=spacing, nan=nan)  # type: ignore[arg-type]
    table = ScanTable(Path(root), scan=SCAN, masks=MASKS)
    folders = table.chosen(split=split, ids=ids, limit=limit)
    there = {stem(p) for f in table.folders for p in (f / MASKS).glob(f"*{SUFFIX}")}
    chosen = classes_of(classes, join, sorted(there)) if masks == "required" else {}
    _check_structures(chosen, there, table.root)
    kept = None
    if cache is not None:
        options = how.describe() | {"classes": [[k, *v] for k, v in chosen.items()], "resample": resample_masks}
        kept = VolumeCache(folder=table.root / cache, options=options)
    found: list[dict[str, Any]] = []

    with reading("totalsegmentator", len(folders)) as done:

        def make(id: str, folder: Path) -> Case:
            try:
                tensors, facts = _prepared(folder, how, chosen, resample=resample_masks, cache=kept)
            finally:
                done()
            labels = tensors.get("labels")
            said = {"modality": "CT", "group_is": "scan", "window": how.shown(DISPLAY)}
            case = Case(
                id=id, inputs={"ct": tensors["ct"]}, truth=labels, regions={} if labels is None else {REGION: labels},
                geometry=Geometry.described(facts["geometry"]), meta=said | table.about(id),
            )  # fmt: skip
            found.append(facts)
            return case

        cases = collect([(f.name, f) for f in folders], make, source=str(table.root))
    _say(found, chosen, table.root)
    table.say([c.id for c in cases])
    return cases


def _prepared(
    folder: Path, how: Preparation, classes: Classes, *, resample: bool, cache: VolumeCache | None
) -> tuple[Mapping[str, Tensor], dict[str, Any]]:
    """``ct`` and ``labels`` of a scan, and what is to be said of them; out of the cache if they are there."""
    scan, masks = folder / SCAN, folder / MASKS
    if not scan.exists():
        raise InputError(f"{folder} has no {SCAN}; fetch it again, or take the folder out")
    if classes and not masks.is_dir():
        raise InputError(f"{folder} has no folder {MASKS}; fetch it, or set masks: none to go without a truth")
    file = None
    if cache is not None:
        files = [masks / f"{s}{SUFFIX}" for some in classes.values() for s in some]
        file = cache.path(folder.name, [scan, *(f for f in files if f.is_file())])
        ready = cache.load(file)
        if ready is not None:
            return ready
    image = how.scan(scan)
    assert image.geometry is not None
    drawn = label_map(masks, classes, image.geometry, resample=resample) if classes else None
    ct, labels, grid = how.seen(image, None if drawn is None else drawn.labels)
    tensors = {"ct": torch.from_numpy(ct)} | ({} if labels is None else {"labels": torch.from_numpy(labels)})
    facts = {
        "geometry": grid.describe(), "no_hu": bool(image.array.min() >= 0),
        "empty": labels is not None and not labels.any(),
        "absent": [] if drawn is None else list(drawn.absent), "overlap": 0 if drawn is None else drawn.overlap,
    }  # fmt: skip
    if cache is not None and file is not None:
        cache.save(file, tensors, facts)
        return cache.load(file) or (tensors, facts)  # mapped, so that the copy in memory can go
    return tensors, facts


def _check_structures(classes: Classes, there: set[str], root: Path) -> None:
    """Make sure that each class has a mask somewhere: one that no scan has is misspelt, or of another version.

    Raises:
        InputError: no mask of a class in any scan.
    """
    for name, some in classes.items():
        if not there.intersection(some):
            raise InputError(
                f"{root}: no scan has a mask of the class {name!r} ({some[0]}{SUFFIX}); {nearest(some[0], there)} "
                "Name other classes, or set masks: none"
            )


def _say(found: Sequence[Mapping[str, Any]], classes: Classes, root: Path) -> None:
    """Warn of what was counted, once for all cases."""
    n = len(found)
    for name, some in classes.items():
        absent = [[s for s in some if s in f["absent"]] for f in found]
        k = sum(map(bool, absent))
        if k:
            names = sorted({s for scan in absent for s in scan})
            LOG.warning(
                "%s: class %r: %d of %d scans have no mask of %s: there it counts as background", root, name, k, n,
                ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else ""),
            )  # fmt: skip
    over = [f["overlap"] for f in found if f["overlap"]]
    if over:
        LOG.warning(
            "%s: %d voxels of %d of %d scans are in masks of two classes: the later class has them", root, sum(over),
            len(over), n,
        )  # fmt: skip
    for key, words in (
        ("no_hu", "have no value below 0, though air, lung and fat do: are they in HU? Check their rescale intercept"),
        ("empty", "show none of the classes: their truth is background throughout"),
    ):
        k = sum(bool(f[key]) for f in found)
        if k:
            LOG.warning("%s: %d of %d scans %s", root, k, n, words)
