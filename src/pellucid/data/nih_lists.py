"""The lists of ChestX-ray14: the table of pictures, the official sides, the boxes."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pellucid.data.absent import Cleaned
from pellucid.data.layout import Below
from pellucid.errors import InputError, nearest
from pellucid.io import read_table
from pellucid.io.files import content, stem

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
"""Of ChestX-ray14, in the order of the paper and of the truth vector."""

NONE = "No Finding"
LAYOUT = (
    "ChestX-ray14 is Data_Entry_2017_v2020.csv (or Data_Entry_2017.csv) beside images_001/images/*.png … images_012, "
    "train_val_list.txt, test_list.txt and BBox_List_2017.csv"
)
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
OLDEST = 110
_OTHER_NAMES = {"Infiltrate": "Infiltration", "Pleural Thickening": "Pleural_Thickening"}
_COLUMNS = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "View Position")
_SEX = ("Patient Gender", "Patient Sex")
_AGE = re.compile(r"(-?\d+)(?:\.0*)?([YMDW]?)")
_YEARS = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the table: a picture and what is said of it.

    Attributes:
        line: its number in the table, from 0.
        file: the picture's name.
        labels: its findings; none where the table says "No Finding".
        patient: the patient's number, as it is written.
        age: in years as it is written, with or without a unit.
        sex: F or M.
        view: PA or AP.
        follow_up: the number of the visit.
    """

    line: int
    file: str
    labels: tuple[str, ...]
    patient: str
    age: str
    sex: str
    view: str
    follow_up: str


def entries(below: Below) -> list[Entry]:
    """The lines of the table of pictures.

    Raises:
        InputError: no table, missing columns, findings that are none of the 14, a line without a label.
    """
    path = below.need(*TABLES, what="table of pictures", layout=LAYOUT)
    have = list(read_table(path).columns)
    sex = next((c for c in _SEX if c in have), None)
    absent = [c for c in _COLUMNS if c not in have] + ([] if sex else [" or ".join(_SEX)])
    if absent or sex is None:
        raise InputError(f"{path}: no column {', '.join(absent)}; it has {', '.join(c for c in have if c)}")
    table = read_table(path, text=(*_COLUMNS, sex))
    labels = [_names(cell) for cell in table["Finding Labels"]]
    _check(path, labels, list(table["Image Index"]))
    fields = zip(*(table[c] for c in (*_COLUMNS, sex)), labels)
    return [
        Entry(line=n, file=Path(file).name, labels=tuple(f for f in FINDINGS if f in names), patient=patient, age=age,
              sex=who, view=view, follow_up=visit)
        for n, (file, _, visit, patient, age, view, who, names) in enumerate(fields)
    ]  # fmt: skip


def _names(cell: str) -> list[str]:
    names = [name.strip() for name in cell.split("|") if name.strip()]
    return [_OTHER_NAMES.get(name, name) for name in names]


def _check(path: Path, labels: Sequence[Sequence[str]], files: Sequence[str]) -> None:
    unknown = sorted({name for names in labels for name in names} - {*FINDINGS, NONE})
    if unknown:
        lines = sum(bool({*names} & {*unknown}) for names in labels)
        hints = "; ".join(f"{name!r}: {nearest(name, (*FINDINGS, NONE))}" for name in unknown[:4])
        raise InputError(
            f"{path}: {len(unknown)} findings in {lines} lines are none of the 14 ({hints}); correct the table"
        )
    for file, names in zip(files, labels):
        if not names or (NONE in names and len(names) > 1):
            what = f"{NONE!r} beside a finding" if names else "no finding label"
            raise InputError(f"{path}: picture {file} has {what}; write the findings joined by |, or {NONE!r}")


def age_of(text: str) -> tuple[int | None, str | None]:
    """Whole years, or why there are none.

    Example:
        >>> age_of("058Y"), age_of("013M"), age_of("411")
        ((58, None), (1, None), (None, "age '411' is over 110 years"))
    """
    match = _AGE.fullmatch(text.strip().upper())
    if match is None:
        return None, f"age {text!r} is no number of years" if text.strip() else "no age is given"
    years = int(match[1]) / _YEARS[match[2]]
    if years < 0:
        return None, f"age {text!r} is under 0 years"
    if years > OLDEST:
        return None, f"age {text!r} is over {OLDEST} years"
    return int(years), None


def parts(below: Below) -> dict[str, set[str]]:
    """``"train"`` and ``"test"`` to the pictures of the official lists that are there."""
    found = {"train": below.find("train_val_list.txt"), "test": below.find("test_list.txt")}
    lists = {part: path for part, path in found.items() if path is not None}
    return {part: {*content(path).decode("utf-8-sig").split()} for part, path in lists.items()}


def boxes(
    below: Below, known: Iterable[str]
) -> tuple[dict[str, list[tuple[str, tuple[float, ...]]]], list[Cleaned]]:
    """Finding and box (left, top, width, height) by picture, in pixels of 1024²; and what is wrong with others.

    The header of the published list names the columns of a box ``Bbox [x``, ``y``, ``w``, ``h]`` and ends in empty
    ones: the first six columns are taken by their place.

    Args:
        below: where the list is, if it is there.
        known: the pictures of the table.

    Raises:
        InputError: not a list of this form.
    """
    path = below.find("BBox_List_2017.csv")
    found: dict[str, list[tuple[str, tuple[float, ...]]]] = defaultdict(list)
    wrong: list[Cleaned] = []
    if path is None:
        return found, wrong
    rows = list(csv.reader(io.StringIO(content(path).decode("utf-8-sig"))))
    if not rows or len(rows[0]) < 6 or not rows[0][2].strip().startswith("Bbox"):
        raise InputError(f"{path}: does not begin with 'Image Index,Finding Label,Bbox [x,y,w,h]'; {LAYOUT}")
    names = {*known}
    for row in rows[1:]:
        if not "".join(row).strip():
            continue
        name, kind = Path(row[0]).name, _OTHER_NAMES.get(row[1].strip(), row[1].strip())
        if kind not in FINDINGS:
            wrong.append(Cleaned(stem(name), "box", f"{kind!r} is none of the 14 findings", "box left out"))
        elif name not in names:
            wrong.append(Cleaned(stem(name), "box", "its picture is not in the table", "box left out"))
        else:
            try:
                left, top, width, height = (float(v) for v in row[2:6])
            except ValueError:
                wrong.append(Cleaned(stem(name), "box", "it is not four numbers", "box left out"))
                continue
            found[name].append((kind, (left, top, width, height)))
    return found, wrong


def sides(rows: Sequence[Entry], lists: Mapping[str, set[str]]) -> tuple[dict[str, str], list[Cleaned]]:
    """The official side by picture, and what is wrong: patients on both, pictures in none or in both."""
    side = {r.file: part for part in ("train", "test") for r in rows if r.file in lists.get(part, ())}
    if not lists:
        return side, []
    frame = pd.DataFrame({"patient": [r.patient for r in rows], "part": [side.get(r.file) for r in rows]})
    several = frame.groupby("patient")["part"].nunique()
    both = {*several[several > 1].index}
    wrong = []
    for r in rows:
        if r.file not in side:
            wrong.append(Cleaned(stem(r.file), "lists", "it is in neither official list", "kept"))
        elif all(r.file in files for files in lists.values()) and len(lists) > 1:
            wrong.append(Cleaned(stem(r.file), "lists", "it is in both official lists", "kept, as of the test list"))
        elif r.patient in both and side[r.file] == "train":
            how = "kept; official: true leaves it out"
            wrong.append(Cleaned(stem(r.file), "lists", "its patient is in both official lists", how))
    return side, wrong
