"""SIIM-ISIC 2020: dermoscopy pictures of pigmented lesions with a table of the patients, benign or malignant."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from pellucid.core.case import Case
from pellucid.data.absent import Cleaned, cleaning_table, present
from pellucid.data.case_list import CaseList, collect
from pellucid.data.labels import truth_of
from pellucid.data.layout import Below
from pellucid.data.patient_row import UNKNOWN, Number, PatientRow, Word
from pellucid.data.pictures import full_size, resized, windowed, with_channels
from pellucid.data.progress import reading
from pellucid.data.registry import DATASETS
from pellucid.data.volume_cache import VolumeCache
from pellucid.errors import InputError, UsageError
from pellucid.io import read, read_table

LOG = logging.getLogger("pellucid")
CLASSES = ("benign", "malignant")
"""In the order of the class index."""

SITES = ("head/neck", "upper extremity", "lower extremity", "torso", "palms/soles", "oral/genital")
"""Where the lesion is, as the table has it."""

TABLE = PatientRow(
    (
        Number(name="age", column="age_approx", high=120),
        Word(name="sex", column="sex", words=("female", "male")),
        Word(name="site", column="anatom_site_general_challenge", words=SITES),
    )
)
_TABLES = {
    "train": ("train.csv", "ISIC_2020_Training_GroundTruth_v2.csv", "ISIC_2020_Training_GroundTruth.csv"),
    "test": ("test.csv", "ISIC_2020_Test_Metadata.csv"),
}
_DUPLICATES = "ISIC_2020_Training_Duplicates.csv"
_OURS = {"image": "image_name", "patient": "patient_id", "anatom_site_general": TABLE.cells[2].column}
_NEEDED = ("image_name", "patient_id", *(cell.column for cell in TABLE.cells))
_LAYOUT = (
    "SIIM-ISIC is a table train.csv (or ISIC_2020_Training_GroundTruth_v2.csv) and pictures jpeg/train/ISIC_*.jpg "
    "(or train/ISIC_*.jpg, train/ISIC_*.dcm)"
)


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
        duplicates: ``"drop"``: of each pair in the published list of duplicates the second picture is left out.
        size: rows and columns, or one number for both; proportions are not kept. As stored if None.
        channels: 3, or 1 for grey.
        least: the share of the listed pictures that must be there.
        limit: keep the first lines of the table only.
        cache: a folder, seen from ``root``, where each resized picture is kept, which a second start reads.

    Raises:
        InputError: another layout (what was expected, and what was found), a column that is missing, too many absent
            pictures, or no case that can be read.
        UsageError: an option out of range.
    """
    for name, value, known in (("part", part, tuple(_TABLES)), ("duplicates", duplicates, ("drop", "keep"))):
        if value not in known:
            raise UsageError(f"siim_isic: {name}={value!r}; give one of {', '.join(known)}")
    below = Below(root)
    rows = _lines(below, part)
    notes: list[Cleaned] = []
    if duplicates == "drop" and part == "train":
        rows, notes = _without_duplicates(below, rows)
    rows = rows[:limit]
    below.need_any([_names(id) for id, _ in rows], what="pictures", layout=_LAYOUT)
    rows, absent = present(
        rows, lambda id, _: below.find(*_names(id)) is not None, least=least, source=f"{below.root}"
    )
    notes += absent
    kept = None
    if cache is not None:
        options = {"size": full_size(size, 2), "channels": channels}
        kept = VolumeCache(folder=below.root / cache, options=options)

    with reading("siim_isic", len(rows)) as done:

        def make(id: str, line: Mapping[Any, Any]) -> Case:
            try:
                table, known, odd = TABLE.row(line, case=id)
                notes.extend(Cleaned(id, "age", why, "kept") for why in odd)
                truth = _truth(line, id) if part == "train" else None
                if not str(line["patient_id"]).strip():
                    raise InputError(f"case {id}: no patient_id: whose picture it is is unknown; fill it in")
                path = below.find(*_names(id), within=part)
                assert path is not None
                image = _picture(path, id, full_size(size, 2), channels, kept)
            finally:
                done()
            return Case(
                id=id, inputs={"image": image, "table": table}, missing=() if known else ("table",), truth=truth,
                group=line["patient_id"], meta=_meta(line, part, truth),
            )  # fmt: skip

        cases = collect(rows, make, source="siim_isic")
    cases.cleaning = cleaning_table(notes)
    return cases


def _lines(below: Below, part: str) -> list[tuple[str, dict[Any, Any]]]:
    """Id and line of each picture in the table of a part, its columns named as in the training table."""
    path = below.need(*_TABLES[part], what="table", layout=_LAYOUT)
    have = [str(c) for c in read_table(path).columns]
    theirs = {ours: name for name, ours in _OURS.items() if name in have and ours not in have}
    text = [theirs.get(name, name) for name in _NEEDED]
    optional = ("lesion_id", "diagnosis", "benign_malignant", "target")
    if part == "train" and not {"benign_malignant", "target"} & set(have):
        raise InputError(f"{path}: no column 'target' and none 'benign_malignant': the truth is in neither; {_LAYOUT}")
    table = read_table(path, text=(*text, *(c for c in optional if c in have)))
    table = table.rename(columns={name: ours for ours, name in theirs.items()})
    return [(str(line["image_name"]), line) for line in table.to_dict("records")]


def _without_duplicates(
    below: Below, rows: list[tuple[str, dict[Any, Any]]]
) -> tuple[list[tuple[str, dict[Any, Any]]], list[Cleaned]]:
    """The rows without the second of each pair in the published list, and a line for each that was left out."""
    path = below.find(_DUPLICATES)
    if path is None:
        LOG.warning(
            "%s: no %s: pictures that are there twice stay, perhaps as two patients; fetch the list from the ISIC "
            "archive, or set duplicates: keep", below.root, _DUPLICATES,
        )  # fmt: skip
        return rows, []
    there, gone = {id for id, _ in rows}, dict[str, str]()
    for pair in read_table(path, text=("image_name_1", "image_name_2")).to_dict("records"):
        first, second = pair["image_name_1"], pair["image_name_2"]
        if first in there and second in there and first != second and first not in gone:
            gone.setdefault(second, first)
    if gone:
        LOG.warning("%s: %d of %d pictures are duplicates of others: left out", below.root, len(gone), len(rows))
    notes = [Cleaned(id, "duplicate", f"the same as {first}", "left out") for id, first in gone.items()]
    return [(id, line) for id, line in rows if id not in gone], notes


def _names(id: str) -> tuple[str, ...]:
    return tuple(f"{id}{suffix}" for suffix in (".jpg", ".jpeg", ".png", ".dcm"))


def _picture(
    path: Path, id: str, size: tuple[int, ...] | None, channels: int, cache: VolumeCache | None
) -> torch.Tensor:
    """The picture ``(C, H, W)`` in [0, 1]; out of the cache if it is there."""
    file = None if cache is None else cache.path(id, [path])
    ready = None if cache is None or file is None else cache.load(file)
    if ready is not None:
        return ready[0]["image"]
    image = read(path)
    if image.meta.get("format") == "DICOM":
        # Colour is stored from 0 to the largest number of its bits, whatever is in the picture.
        image = windowed(image, (0.0, 2.0 ** int(image.meta["bits"]) - 1))
    tensor = torch.from_numpy(resized(with_channels(image, channels), size).array)
    if cache is None or file is None:
        return tensor
    cache.save(file, {"image": tensor}, {})
    ready = cache.load(file)  # mapped, so that the copy in memory can go
    return tensor if ready is None else ready[0]["image"]


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
    columns = {"age": "age_approx", "sex": "sex", "site": TABLE.cells[2].column, "lesion": "lesion_id"}
    known = {
        name: str(line[column]).strip() for name, column in (columns | {"diagnosis": "diagnosis"}).items()
        if str(line.get(column, "")).strip().lower() not in UNKNOWN
    }  # fmt: skip
    age = float(known.pop("age", "nan"))
    if 0 <= age <= TABLE.cells[0].high:  # type: ignore[union-attr]
        known["age"] = age  # type: ignore[assignment]
    known |= {} if truth is None else {"class": CLASSES[truth]}
    return known | {"part": part, "group_is": "patient", "features": {"table": TABLE.names}}
