"""SIIM-ISIC 2020: dermoscopy pictures of pigmented lesions with a table of the patients, benign or malignant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pellucid.core.case import Case
from pellucid.data.absent import Cleaned, cleaning_table, present
from pellucid.data.case_list import CaseList, collect
from pellucid.data.duplicates import duplicates as same_pictures
from pellucid.data.labels import truth_of
from pellucid.data.layout import Below
from pellucid.data.patient_row import UNKNOWN
from pellucid.data.picture_shards import Item, read_pictures
from pellucid.data.registry import DATASETS
from pellucid.data.siim_lists import LAYOUT, OLDEST, SITE, TABLE, TABLES, lines_of, warn_of_both, without_duplicates
from pellucid.errors import InputError, UsageError

CLASSES = ("benign", "malignant")
"""In the order of the class index."""


@DATASETS.register("siim_isic")
def load_siim_isic(
    root: str | Path,
    *,
    part: Literal["train", "test"] = "train",
    duplicates: Literal["drop", "keep"] = "drop",
    size: int | Sequence[int] | None = 224,
    channels: int = 3,
    least: float = 0.95,
    limit: int | None = None,
    cache: str | Path | None = None,
) -> CaseList:
    """The cases of SIIM-ISIC 2020 as it is published (Kaggle, ISIC archive); one that fails is noted in ``.failed``.

    A case has the inputs ``image`` ``(C, H, W)`` in [0, 1] and ``table``, the columns of :data:`TABLE`: the age in
    years, sex and site, each unknown one by itself. A patient of whom nothing is known lacks the table
    (``Case.missing``). ``truth`` is the index in :data:`CLASSES`, None for the test part; the group is the patient.
    ``.cleaning`` says what was left out. Source: rotemberg2021patient.

    Args:
        root: the folder of the unpacked files; they are found by name wherever they lie below it.
        part: ``"test"``: the published test pictures, whose truth is not published.
        duplicates: ``"drop"``: of each pair in the published list of duplicates the second picture is left out; of
            other pictures with the same content one of a patient stays, and none where two patients have it.
        size: rows and columns, or one number for both; proportions are not kept. As stored if None.
        channels: 3, or 1 for grey.
        least: the share of the listed pictures that must be there.
        limit: keep the first lines of the table only.
        cache: a folder, seen from ``root``, where the resized pictures are kept, which a second start reads.

    Raises:
        InputError: another layout (what was expected, and what was found), a column that is missing, too many absent
            pictures, or no case that can be read.
        UsageError: an option out of range.
    """
    for name, value, known in (("part", part, tuple(TABLES)), ("duplicates", duplicates, ("drop", "keep"))):
        if value not in known:
            raise UsageError(f"siim_isic: {name}={value!r}; give one of {', '.join(known)}")
    below = Below(root)
    rows = lines_of(below, part)
    place = {id: k for k, (id, _) in enumerate(rows)}
    notes: list[Cleaned] = []
    if duplicates == "drop" and part == "train":
        rows, notes = without_duplicates(below, rows)
    if part == "test":
        warn_of_both(below, rows)
    rows = rows[:limit]
    below.need_any([_names(id) for id, _ in rows], what="pictures", layout=LAYOUT)
    rows, absent = present(
        rows, lambda id, _: below.find(*_names(id)) is not None, least=least, source=f"{below.root}"
    )
    items = [Item(place[id], id, p) for id, _ in rows if (p := below.find(*_names(id), within=part)) is not None]
    kept = None if cache is None else below.root / cache
    seen = read_pictures(items, size=size, cache=kept, source="siim_isic", channels=channels)
    contents = {id: s.content for id, s in seen.items() if s.pixels is not None}
    groups = {id: str(line["patient_id"]) for id, line in rows}
    twice = same_pictures(contents, groups, action=duplicates)
    gone = {line.case for line in twice if line.action == "left out"}
    notes += [*absent, *twice]

    def make(id: str, line: Mapping[Any, Any]) -> Case:
        table, known, odd = TABLE.row(line, case=id)
        notes.extend(Cleaned(id, "age", why, "kept") for why in odd)
        truth = _truth(line, id) if part == "train" else None
        if not groups[id].strip():
            raise InputError(f"case {id}: no patient_id: whose picture it is is unknown; fill it in")
        pixels = seen[id].pixels
        if pixels is None:
            raise InputError(f"case {id}: {seen[id].problem}")
        return Case(
            id=id, inputs={"image": pixels, "table": table}, missing=() if known else ("table",), truth=truth,
            group=groups[id], meta=_meta(line, part, truth),
        )  # fmt: skip

    cases = collect([(id, line) for id, line in rows if id not in gone], make, source="siim_isic")
    cases.cleaning = cleaning_table(notes)
    return cases


def _names(id: str) -> tuple[str, ...]:
    return tuple(f"{id}{suffix}" for suffix in (".jpg", ".jpeg", ".png", ".dcm"))


def _truth(line: Mapping[Any, Any], id: str) -> int | None:
    """The class by ``target`` and ``benign_malignant``, whichever are there.

    Raises:
        InputError: they contradict each other, or one is no class.
    """
    said = {
        column: truth_of(line[column], case=id, column=column, classes=CLASSES)
        for column in ("target", "benign_malignant") if column in line
    }  # fmt: skip
    values = {v for v in said.values() if v is not None}
    if len(values) > 1:
        raise InputError(f"case {id}: target says {said['target']}, benign_malignant the other; correct one of them")
    return None if not values else int(values.pop())


def _meta(line: Mapping[Any, Any], part: str, truth: int | None) -> dict[str, Any]:
    columns = {"age": "age_approx", "sex": "sex", "site": SITE, "lesion": "lesion_id"}
    known = {
        name: str(line[column]).strip() for name, column in (columns | {"diagnosis": "diagnosis"}).items()
        if str(line.get(column, "")).strip().lower() not in UNKNOWN
    }  # fmt: skip
    age = float(known.pop("age", "nan"))
    if 0 <= age <= OLDEST:
        known["age"] = age  # type: ignore[assignment]
    known |= {} if truth is None else {"class": CLASSES[truth]}
    return known | {"part": part, "group_is": "patient", "window": (0.0, 1.0), "features": {"table": TABLE.names}}
