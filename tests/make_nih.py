"""A miniature of ChestX-ray14 of the NIH in its official layout, drawn: no patient is in it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from make_skin_and_chest import draw_chest

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
FAULTS = (
    "absent", "corrupt", "duplicate", "duplicate_across", "near_duplicate", "size", "not_square", "rgba", "sixteen_bit",
    "age", "both_lists", "box_outside", "box_unknown",
)  # fmt: skip
HEADERS = {
    # Both split [Width,Height] over two columns; the first ends with a comma, and its ages are written "058Y".
    "2017": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
            "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
    "v2020": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
             "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]",
}  # fmt: skip
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
SIDE = 1024
"""Rows and columns of the published pictures, in whose pixels the boxes are."""


def make_nih(
    root: str | Path,
    *,
    patients: int = 16,
    most: int = 3,
    size: int = 64,
    findings: Sequence[str] = ("Effusion", "Pneumonia", "Pneumothorax"),
    header: Literal["2017", "v2020"] = "2017",
    lists: bool = True,
    boxes: bool = True,
    faults: Mapping[str, int] | None = None,
    unknown: str | None = None,
    seed: int = 0,
) -> Path:
    """Write the pictures of ``patients`` patients, 1 to ``most`` of each in turn, in the official layout.

    Patient by patient: no finding, then each of ``findings`` alone, then two of them together, and so on; the look of a
    bright or dark block in a lung is the finding. Women and men, PA and AP take turns, ages are 20 to 79.

    Args:
        root: the folder; made.
        patients: how many; every fifth is in ``test_list.txt``.
        most: pictures of a patient.
        size: rows and columns of a picture (1024 as published).
        findings: that occur.
        header: of ``Data_Entry_2017``: the first one that was published, or that of ``_v2020``.
        lists: write the official lists.
        boxes: write ``BBox_List_2017.csv``: of every second picture with findings; their corners in 1024² pixels.
        faults: name (``FAULTS``) to how many pictures have it, each picture one at most; ``faults.json`` says which.
        unknown: a finding that the first picture is given in the table, and that nobody knows.
        seed: of the drawing.

    Returns:
        ``root``.
    """
    root, rng = Path(root), np.random.default_rng(seed)
    folders = [root / f"images_{k:03d}" / "images" for k in (1, 2)]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    kinds = [(), *((f,) for f in findings), *((a, b) for a, b in pairwise(findings))]
    rows: list[dict[str, Any]] = []
    for patient in range(patients):
        turn = patient // len(kinds)  # so that no finding goes with one sex or one view
        for shot in range(1 + patient % most):
            picture, _, drawn = draw_chest(rng, size, kinds[patient % len(kinds)])
            name = f"{patient + 1:08d}_{shot:03d}.png"
            path = folders[patient >= patients // 2] / name
            Image.fromarray(picture).save(path)
            rows.append({
                "name": name, "path": path, "labels": [f for f, _ in drawn], "follow": shot, "patient": patient + 1,
                "age": 20 + 7 * patient % 60 + shot, "sex": "FM"[(patient + turn) % 2],
                "view": ("PA", "AP")[(patient // 2 + turn // 2) % 2], "test": patient % 5 == 4,
                "boxes": [(f, np.array([l, t, r - l, b - t]) * SIDE / size) for f, (l, t, r, b) in drawn],
            })  # fmt: skip
    boxed = [row for row in rows if row["boxes"]][::2]
    _plant(rows, boxed, dict(faults or {}), root)
    if unknown is not None:
        rows[0]["labels"] = [*rows[0]["labels"], unknown]
    _table(rows, header, root)
    if lists:
        for file, test in (("train_val_list.txt", False), ("test_list.txt", True)):
            (root / file).write_text("".join(f"{r['name']}\n" for r in rows if r["test"] == test))
    if boxes:
        lines = [
            f"{row['name']},{'Infiltrate' if f == 'Infiltration' else f},{','.join(str(float(v)) for v in box)},,,"
            for row in boxed for f, box in row["boxes"]
        ]  # fmt: skip
        (root / "BBox_List_2017.csv").write_text("\n".join([BOX_HEADER, *lines]) + "\n")
    return root


def _table(rows: list[dict[str, Any]], header: str, root: Path) -> None:
    old = header == "2017"
    with (root / ("Data_Entry_2017.csv" if old else "Data_Entry_2017_v2020.csv")).open("w", newline="") as file:
        file.write(HEADERS[header] + "\n")
        for r in rows:
            age = f"{r['age']:03d}Y" if old else r["age"]
            cells = [r["name"], "|".join(sorted(r["labels"])) or "No Finding", r["follow"], r["patient"], age]
            cells += [r["sex"], r["view"], 2500, 2048, 0.143, 0.143, *([""] if old else [])]
            csv.writer(file, lineterminator="\n").writerow(cells)


def _plant(rows: list[dict[str, Any]], boxed: list[dict[str, Any]], faults: dict[str, int], root: Path) -> None:
    """Give single pictures their faults, and write down which have which."""
    assert set(faults) <= set(FAULTS), faults
    spoilt: dict[str, list[str]] = {}

    def take(fault: str, able: list[dict[str, Any]]) -> list[dict[str, Any]]:
        free = [row for row in able if "fault" not in row]
        chosen = free[-faults[fault] :] if faults[fault] else []
        assert len(chosen) == faults[fault], f"too few pictures for {fault}"
        for row in chosen:
            row["fault"] = fault
        spoilt[fault] = [row["name"][:-4] for row in chosen]
        return chosen

    first = {row["patient"]: row for row in reversed(rows)}
    for fault in sorted(faults, key=FAULTS[::-1].index):  # those that want certain pictures first
        if fault in ("box_outside", "box_unknown"):
            for row in take(fault, boxed):
                kind, box = row["boxes"][0]
                moved = (kind, box + np.array([2 * SIDE, 0, 0, 0]))
                row["boxes"].append(moved if fault == "box_outside" else ("Opacity", box))
            continue
        if fault in ("duplicate", "near_duplicate", "both_lists"):
            able = [row for row in rows if row["follow"] and "fault" not in first[row["patient"]]]
            able = [row for row in able if not row["test"]] if fault == "both_lists" else able
        else:
            able = [row for row in rows if not row["follow"]] if fault == "duplicate_across" else list(rows)
        for row in take(fault, able):
            if fault in ("duplicate", "near_duplicate"):
                first[row["patient"]].setdefault("fault", "the other one")
            _spoil(row, fault, rows, first)
    if faults:
        (root / "faults.json").write_text(json.dumps(spoilt, indent=1))


def _spoil(row: dict[str, Any], fault: str, rows: list[dict[str, Any]], first: dict[int, dict[str, Any]]) -> None:
    path = row["path"]
    array = np.asarray(Image.open(path))
    if fault == "absent":
        path.unlink()
    elif fault == "corrupt":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif fault == "duplicate":
        shutil.copyfile(first[row["patient"]]["path"], path)
    elif fault == "duplicate_across":
        other = next(r for r in rows if "fault" not in r and r["patient"] != row["patient"])
        other["fault"] = "the other one"
        shutil.copyfile(other["path"], path)
    elif fault == "near_duplicate":  # a touch brighter, so that the content differs and the look does not
        other = np.asarray(Image.open(first[row["patient"]]["path"]))
        Image.fromarray(np.clip(other.astype(int) + 2, 0, 255).astype(np.uint8)).save(path)
    elif fault == "size":
        Image.fromarray(array).resize((len(array) // 2,) * 2).save(path)
    elif fault == "not_square":
        Image.fromarray(array[: 3 * len(array) // 4]).save(path)
    elif fault == "rgba":
        Image.fromarray(np.dstack([array] * 3 + [np.full_like(array, 255)])).save(path)
    elif fault == "sixteen_bit":
        Image.fromarray(array.astype(np.uint16) * 257).save(path)
    elif fault == "age":
        row["age"] = 411
    elif fault == "both_lists":
        row["test"] = True
