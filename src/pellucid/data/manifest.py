"""Cases from a table with one line per case."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.data.boxes import Boxes
from pellucid.data.case_list import CaseList, collect
from pellucid.data.labels import LabelColumns
from pellucid.data.masks import mask_on, turned_like
from pellucid.data.pictures import Pictures, full_size, resized, respaced, windowed, with_channels
from pellucid.data.registry import DATASETS
from pellucid.errors import InputError, UsageError, nearest
from pellucid.io import Image, read_table
from pellucid.io.files import stem

LOG = logging.getLogger("pellucid")
Names = str | Mapping[str, str]
Grid = tuple[int, ...] | None


@DATASETS.register("manifest")
def load_manifest(
    root: str | Path,
    *,
    csv: str | Path,
    images: str | Path | None = None,
    inputs: Names | None = None,
    id: str | None = None,
    label: str | None = None,
    labels: Sequence[str] | None = None,
    label_separator: str | None = None,
    no_label: str | None = None,
    other_labels: Literal["fail", "ignore"] = "fail",
    classes: Sequence[str] | None = None,
    mask: Names | None = None,
    truth_mask: str | None = None,
    binary_masks: bool = False,
    missing_masks: Literal["fail", "keep"] | None = None,
    group: str | None = None,
    features: Sequence[str] | None = None,
    meta: Sequence[str] = (),
    boxes: str | Path | None = None,
    box_columns: Mapping[str, str] | None = None,
    box_sources: Mapping[str, str] | None = None,
    box_label: str | list[str] | None = None,
    box_regions: Mapping[str, str] | None = None,
    size: int | Sequence[int] | None = None,
    channels: int | None = None,
    orientation: str | None = None,
    spacing: float | Sequence[float] | None = None,
    window: Sequence[float] | None = None,
    select: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> CaseList:
    """Cases from a CSV or Parquet table; a line that fails is noted in ``.failed`` and does not stop the others.

    Args:
        root: the data set's folder; the other paths are relative to it.
        csv: the table.
        images: the folder or ``.zip`` that the file columns are relative to; ``root`` if None.
        inputs: name of the input to its file column, or the column alone, whose input is then ``"image"``. If None
            the column ``file``, ``image`` or ``path``; with ``features``, there may be no picture at all.
        id: column of unique ids; the stem of the first file if None.
        label: column of class names, class indices or scores; an empty cell is an unknown truth.
        labels: instead of ``label``, a column of 0 and 1 per independent label: ``truth`` is their vector. A case with
            an empty cell has an unknown truth; how many have is logged.
        label_separator: ``label`` holds several names joined by this, such as ``"|"``: ``truth`` is a vector over
            ``classes``.
        no_label: with ``label_separator``, what the cell holds if none of the classes is there ("No Finding"); an
            empty cell is an unknown truth, logged too.
        other_labels: with ``label_separator``, whether a case fails that has a name which is none of ``classes``, or
            the name is ignored.
        classes: names of the classes, in order.
        mask: region name to its column of mask files, or the column alone, whose region is then ``"mask"``.
        truth_mask: column of mask files that are the truth of a segmentation, and the region ``"mask"`` too.
        binary_masks: refuse masks with more than 0 and one other value, instead of taking them for label maps.
        missing_masks: ``"fail"``: a case without a mask's cell or file fails; ``"keep"``: it has no such region. If
            None, an empty cell is kept and a missing file fails. A mask of another size than its picture is resampled
            by nearest neighbour if it has the same proportions, and fails otherwise.
        group: column that splits obey, normally the patient.
        features: numeric columns of the tabular input ``"table"``.
        meta: columns that go to ``Case.meta`` as they are.
        boxes: table of boxes: see :class:`~pellucid.data.boxes.Boxes`. One region per reader, and ``"boxes"``.
        box_columns: our name to the table's.
        box_sources: the table's name of a reader to the region's.
        box_label: keep the boxes with this label or these.
        box_regions: the label of a box to a region that such boxes make as well, such as the finding that it is of.
        size: pixels along each spatial axis, or one length for all; as stored if None.
        channels: 1 (grey) or 3; as stored if None.
        orientation: of volumes, such as ``"RAS"``. Their masks are turned as they are, however they are stored.
        spacing: of volumes, millimetres, one number or three: scans linearly, masks by nearest neighbour; in place of
            ``size``. Maps saved as NIfTI lie on the grid of the file.
        window: lower and upper end, in the units of the file (HU), that become 0 and 1; what is beyond is clipped.
        select: column to the value, or the list of values, of the lines that are kept.
        limit: keep the first lines only.

    Raises:
        InputError: an unusable table, no such column, an id that occurs twice, or no case that can be read.
        UsageError: options that contradict each other.

    Example:
        ``load_manifest("chest", csv="labels.csv", images="images.zip", label="pneumonia", group="patient", size=128)``
    """
    root = Path(root)
    if truth_mask is not None and (label is not None or labels):
        raise UsageError("manifest: give one truth: label, labels or truth_mask")
    if size is not None and spacing is not None:
        raise UsageError("manifest: give size or spacing, not both")
    if missing_masks not in (None, "fail", "keep"):
        raise UsageError(f"manifest: missing_masks={missing_masks!r}; give 'fail' or 'keep', or leave it out")
    truths = LabelColumns(
        label=label, labels=labels, separator=label_separator, none=no_label, classes=classes, others=other_labels
    )
    columns = _file_columns(root / csv, inputs, features)
    masks = {"mask": mask} if isinstance(mask, str) else dict(mask or {})
    if truth_mask is not None:
        masks.setdefault("mask", truth_mask)
    text = [*columns.values(), *masks.values(), *(c for c in (id, label, group, truth_mask) if c is not None)]
    table = _selected(read_table(root / csv, text=tuple(dict.fromkeys(text))), select, root / csv)
    _require(table, [*(features or ()), *meta, *(labels or ())], root / csv)
    if id is None and not columns:
        raise UsageError(f"{root / csv}: without pictures the cases need an id column: id=…")
    drawn = None
    if boxes is not None:
        drawn = Boxes(root / boxes, columns=box_columns, sources=box_sources, label=box_label, regions=box_regions)
    rows = table.to_dict("records")[:limit]
    named = [(str(row[id]) if id else stem(row[next(iter(columns.values()))]), row) for row in rows]

    with Pictures(root if images is None else root / images) as pictures:

        def mask_of(row: dict[Any, Any], column: str, region: str, image: Image | None, grid: Grid) -> Tensor | None:
            file = row[column]
            if not file and missing_masks == "fail":
                raise InputError(f"no file of the mask {region!r} is named in column {column!r}; fill it in")
            if not file or (missing_masks == "keep" and not pictures.has(file)):
                return None
            read = pictures.read(file, orientation=orientation if image is None else None, scale=False)
            if image is not None:
                read = turned_like(read, image)
            what = f"mask {region!r}"
            if spacing is not None:
                read = respaced(read, spacing, labels=True)
            original = read.spatial if image is None or spacing is not None else image.spatial
            to = grid or full_size(size, len(read.spatial)) or read.spatial
            return mask_on(read, original=original, size=to, what=what, binary=binary_masks)

        def make(name: str, row: dict[Any, Any]) -> Case:
            fields: dict[str, Any] = {"id": name, "inputs": {}, "regions": {}}
            said: dict[str, Any] = {}
            first: Image | None = None
            grid: Grid = None
            for key, column in columns.items():
                image = with_channels(pictures.read(row[column], orientation=orientation), channels)
                small = windowed(image, window)  # first, so that metal does not bleed into what lies beside it
                small = respaced(resized(small, full_size(size, len(image.spatial))), spacing)
                fields["inputs"][key] = torch.from_numpy(small.array)
                if first is None:
                    first, grid = image, small.spatial
                    said |= {} if small.window is None else {"window": small.window}
                    fields |= {"spacing": small.spacing, "geometry": small.geometry}
                    if drawn is not None and len(image.spatial) == 2:
                        h, w = image.spatial
                        fields["regions"] |= drawn.regions(row[column], (h, w), small.spatial[:2])  # type: ignore[arg-type]
            for region, column in masks.items():
                found = mask_of(row, column, region, first, grid)
                fields["regions"] |= {} if found is None else {region: found}
            if features:
                fields["inputs"]["table"] = _features(row, features, name)
            if truth_mask is not None:
                found = mask_of(row, truth_mask, "truth", first, grid)
                fields["truth"] = None if found is None else found.to(torch.int64)
            else:
                fields["truth"] = truths.truth(row, case=name)
            said |= {c: row[c] for c in meta if not pd.isna(row[c])}
            return Case(group=(row[group] or None) if group else None, meta=said, **fields)

        cases = collect(named, make, source=str(root / csv))
    unknown = sum(c.truth is None for c in cases) if truths.several else 0
    if unknown:
        LOG.warning(
            "%s: %d of %d cases have an empty cell among their labels: their truth is unknown", csv, unknown, len(cases)
        )
    return cases


def _file_columns(path: Path, inputs: Names | None, features: Sequence[str] | None) -> dict[str, str]:
    if isinstance(inputs, str):
        return {"image": inputs}
    if inputs is not None:
        return dict(inputs)
    have = read_table(path).columns
    found = next((c for c in ("file", "image", "path") if c in have), None)
    if found is None and not features:
        raise InputError(f"{path}: no column file, image or path; say which holds the pictures with inputs='…'")
    return {} if found is None else {"image": found}


def _selected(table: pd.DataFrame, select: Mapping[str, Any] | None, path: Path) -> pd.DataFrame:
    for column, wanted in (select or {}).items():
        _require(table, [column], path)
        values = list(wanted) if isinstance(wanted, list | tuple | set) else [wanted]
        # As text, for an id column is text and a recipe may say 1 or "1".
        table = table[table[column].astype(str).isin([str(v) for v in values])]
        if table.empty:
            raise InputError(f"{path}: no line has {column} = {', '.join(str(v) for v in values)}; check select")
    return table


def _require(table: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    for column in columns:
        if column not in table.columns:
            raise InputError(f"{path}: no column {column!r}; {nearest(column, table.columns)}")


def _features(row: Mapping[Any, Any], features: Sequence[str], name: str) -> Tensor:
    values = []
    for column in features:
        try:
            values.append(float(row[column]))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"case {name}: column {column!r} holds {row[column]!r}, not a number; encode it first"
            ) from error
        if not np.isfinite(values[-1]):
            raise InputError(f"case {name}: column {column!r} is empty or not finite; fill it in, or take the line out")
    return torch.tensor(values, dtype=torch.float32)

