"""Cases from a table with one line per case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.data.boxes import Boxes
from pellucid.data.case_list import CaseList, collect
from pellucid.data.labels import truth_of
from pellucid.data.pictures import Pictures, as_mask, full_size, resized, with_channels
from pellucid.data.registry import DATASETS
from pellucid.errors import InputError, UsageError, nearest
from pellucid.io import read_table
from pellucid.io.files import stem

Names = str | Mapping[str, str]


@DATASETS.register("manifest")
def load_manifest(
    root: str | Path,
    *,
    csv: str | Path,
    images: str | Path | None = None,
    inputs: Names | None = None,
    id: str | None = None,
    label: str | None = None,
    classes: Sequence[str] | None = None,
    mask: Names | None = None,
    truth_mask: str | None = None,
    group: str | None = None,
    features: Sequence[str] | None = None,
    meta: Sequence[str] = (),
    boxes: str | Path | None = None,
    box_columns: Mapping[str, str] | None = None,
    box_sources: Mapping[str, str] | None = None,
    box_label: str | list[str] | None = None,
    size: int | Sequence[int] | None = None,
    channels: int | None = None,
    orientation: str | None = None,
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
        classes: names of the classes, in order.
        mask: region name to its column of mask files, or the column alone, whose region is then ``"mask"``.
        truth_mask: column of mask files that are the truth of a segmentation, and the region ``"mask"`` too.
        group: column that splits obey, normally the patient.
        features: numeric columns of the tabular input ``"table"``.
        meta: columns that go to ``Case.meta`` as they are.
        boxes: table of boxes: see :class:`~pellucid.data.boxes.Boxes`. One region per reader, and ``"boxes"``.
        box_columns: our name to the table's.
        box_sources: the table's name of a reader to the region's.
        box_label: keep the boxes with this label or these.
        size: pixels along each spatial axis, or one length for all; as stored if None.
        channels: 1 (grey) or 3; as stored if None.
        orientation: of volumes, such as ``"RAS"``.
        select: column to the value, or the list of values, of the lines that are kept.
        limit: keep the first lines only.

    Raises:
        InputError: an unusable table, no such column, an id that occurs twice, or no case that can be read.

    Example:
        ``load_manifest("chest", csv="labels.csv", images="images.zip", label="pneumonia", group="patient", size=128)``
    """
    root = Path(root)
    columns = _file_columns(root / csv, inputs, features)
    masks = {"mask": mask} if isinstance(mask, str) else dict(mask or {})
    if truth_mask is not None:
        masks.setdefault("mask", truth_mask)
    text = [*columns.values(), *masks.values(), *(c for c in (id, label, group, truth_mask) if c is not None)]
    table = _selected(read_table(root / csv, text=tuple(dict.fromkeys(text))), select, root / csv)
    _require(table, [*(features or ()), *meta], root / csv)
    if id is None and not columns:
        raise UsageError(f"{root / csv}: without pictures the cases need an id column: id=…")
    drawn = None
    if boxes is not None:
        drawn = Boxes(root / boxes, columns=box_columns, sources=box_sources, label=box_label)
    rows = table.to_dict("records")[:limit]
    named = [(str(row[id]) if id else stem(row[next(iter(columns.values()))]), row) for row in rows]

    with ExitStack() as stack:
        pictures = stack.enter_context(Pictures(root if images is None else root / images))

        def make(name: str, row: dict[Any, Any]) -> Case:
            fields: dict[str, Any] = {"id": name, "inputs": {}, "regions": {}}
            said: dict[str, Any] = {}
            for key, column in columns.items():
                image = with_channels(pictures.read(row[column], orientation=orientation), channels)
                to = full_size(size, len(image.spatial))
                small = resized(image, to)
                fields["inputs"][key] = torch.from_numpy(small.array)
                if len(fields["inputs"]) == 1:
                    said |= {} if image.window is None else {"window": image.window}
                    fields |= {"spacing": small.spacing, "geometry": small.geometry}
                    if drawn is not None and len(image.spatial) == 2:
                        h, w = image.spatial
                        fields["regions"] |= drawn.regions(row[column], (h, w), small.spatial[:2])  # type: ignore[arg-type]
            for region, column in masks.items():
                if row[column]:
                    fields["regions"][region] = _mask(pictures, row[column], region, size, orientation)
            if features:
                fields["inputs"]["table"] = _features(row, features, name)
            if label is not None:
                fields["truth"] = truth_of(row[label], case=name, column=label, classes=classes)
            elif truth_mask is not None and row[truth_mask]:
                truth = _mask(pictures, row[truth_mask], "truth", size, orientation)
                fields["truth"] = truth.to(torch.int64)
            said |= {c: row[c] for c in meta if not pd.isna(row[c])}
            return Case(group=(row[group] or None) if group else None, meta=said, **fields)

        return collect(named, make, source=str(root / csv))


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


def _mask(
    pictures: Pictures, file: str, region: str, size: int | Sequence[int] | None, orientation: str | None
) -> Tensor:
    image = pictures.read(file, orientation=orientation, scale=False)
    image = resized(image, full_size(size, len(image.spatial)), labels=True)
    return torch.from_numpy(as_mask(image, what=f"mask {region!r}"))
