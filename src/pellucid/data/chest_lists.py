"""The lists of ChestX-Det10: as published, and as a table with a column per finding."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.data.labels import vector_of
from pellucid.data.layout import Below
from pellucid.errors import InputError, UsageError, nearest
from pellucid.io import read_table

FINDINGS = (
    "Atelectasis", "Calcification", "Consolidation", "Effusion", "Emphysema", "Fibrosis", "Fracture", "Mass", "Nodule",
    "Pneumothorax",
)  # fmt: skip
"""Of ChestX-Det10, in the order of the truth vector."""

LATER = ("Cardiomegaly", "Diffuse Nodule", "Pleural Thickening")
"""What ChestX-Det has besides."""

LAYOUT = (
    "ChestX-Det10 is train.json and test.json beside the pictures of train_data/ and test_data/; the form of SegX is a "
    "table with a column per finding (csv: metadata.csv) beside images/ and masks/ (lung_masks: masks)"
)
_LISTS = {part: (f"{part}.json", f"ChestX_Det_{part}.json") for part in ("train", "test")}


def listed(below: Below, findings: Sequence[str] | None) -> list[dict[str, Any]]:
    """The entries of both published lists, each with its ``"part"``.

    Raises:
        InputError: a list is not there, or is none; findings beyond the ten, and ``findings`` says nothing of them.
        UsageError: a finding that neither data set has.
    """
    rows: list[dict[str, Any]] = []
    for part, names in _LISTS.items():
        path = below.need(*names, what=f"list of {part} pictures", layout=LAYOUT)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as JSON ({type(error).__name__}); fetch it again") from error
        if not isinstance(content, list) or not all(isinstance(e, dict) and "file_name" in e for e in content):
            raise InputError(f"{path}: is no list of {{file_name, syms, boxes}}; {LAYOUT}")
        rows += [{"syms": [], "boxes": [], **e, "file_name": str(e["file_name"]), "part": part} for e in content]
    occurring = {str(s) for row in rows for s in row["syms"]}
    for name in findings or ():
        if name not in occurring.union(FINDINGS, LATER):
            raise UsageError(f"chestxdet10: no finding {name!r}; {nearest(name, occurring.union(FINDINGS, LATER))}")
    others = sorted(occurring - set(FINDINGS)) if findings is None else []
    if others:
        raise InputError(
            f"{below.root}: the lists have findings that are none of the ten ({', '.join(others)}), as ChestX-Det has; "
            "name those that you want with findings=[…], the others are then left out"
        )
    return rows


def from_table(path: Path, findings: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of a table with a column per finding; ``"truth"`` makes the vector of a case.

    Raises:
        InputError: no such table, or a column is missing.
    """
    have = list(read_table(path).columns)
    image = next((c for c in ("image_id", "image", "file_name", "file") if c in have), None)
    absent = [f for f in findings if f not in have]
    if image is None or absent:
        lack = "image_id" if image is None else ", ".join(absent)
        raise InputError(f"{path}: no column {lack}; it has {', '.join(have[:14])}; {LAYOUT}")
    patient = next((c for c in ("patient", "patient_id") if c in have), None)
    table = read_table(path, text=tuple(c for c in (image, patient) if c is not None))
    rows: list[dict[str, Any]] = []
    for row in table.to_dict("records"):

        def truth(id: str, row: Mapping[Any, Any] = row) -> Tensor:
            vector = vector_of(row, findings, case=id)
            if vector is None:
                raise InputError(f"case {id}: a finding's cell is empty; write 0 or 1, or take the line out")
            return vector

        rows.append({"file_name": str(row[image]), "truth": truth, "group": row[patient] if patient else None})
    return rows
