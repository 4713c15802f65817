"""The tables of SIIM-ISIC 2020: as Kaggle has them and as the ISIC archive has them, and the list of duplicates."""

from __future__ import annotations

import logging
from typing import Any

from pellucid.data.absent import Cleaned
from pellucid.data.layout import Below
from pellucid.data.patient_row import Number, PatientRow, Word
from pellucid.errors import InputError
from pellucid.io import read_table

LOG = logging.getLogger("pellucid")
OLDEST = 120  # years
SITE = "anatom_site_general_challenge"
SITES = ("head/neck", "upper extremity", "lower extremity", "torso", "palms/soles", "oral/genital")
"""Where the lesion is, as the table has it."""

TABLE = PatientRow(
    (
        Number(name="age", column="age_approx", high=OLDEST),
        Word(name="sex", column="sex", words=("female", "male")),
        Word(name="site", column=SITE, words=SITES),
    )
)
"""What a table says of the patient and the place of the lesion."""

TABLES = {
    "train": ("train.csv", "ISIC_2020_Training_GroundTruth_v2.csv", "ISIC_2020_Training_GroundTruth.csv"),
    "test": ("test.csv", "ISIC_2020_Test_Metadata.csv"),
}
_DUPLICATES = "ISIC_2020_Training_Duplicates.csv"
_OURS = {"image": "image_name", "patient": "patient_id", "anatom_site_general": SITE}
_NEEDED = ("image_name", "patient_id", *(cell.column for cell in TABLE.cells))
LAYOUT = (
    "SIIM-ISIC is a table train.csv (or ISIC_2020_Training_GroundTruth_v2.csv) and pictures jpeg/train/ISIC_*.jpg "
    "(or train/ISIC_*.jpg, train/ISIC_*.dcm)"
)


def lines_of(below: Below, part: str) -> list[tuple[str, dict[Any, Any]]]:
    """Id and line of each picture in the table of a part, its columns named as in the training table."""
    path = below.need(*TABLES[part], what="table", layout=LAYOUT)
    have = [str(c) for c in read_table(path).columns]
    theirs = {ours: name for name, ours in _OURS.items() if name in have and ours not in have}
    text = [theirs.get(name, name) for name in _NEEDED]
    optional = ("lesion_id", "diagnosis", "benign_malignant", "target")
    if part == "train" and not {"benign_malignant", "target"} & set(have):
        raise InputError(f"{path}: no column 'target' and none 'benign_malignant': the truth is in neither; {LAYOUT}")
    table = read_table(path, text=(*text, *(c for c in optional if c in have)))
    table = table.rename(columns={name: ours for ours, name in theirs.items()})
    return [(str(line["image_name"]), line) for line in table.to_dict("records")]


def without_duplicates(
    below: Below, rows: list[tuple[str, dict[Any, Any]]]
) -> tuple[list[tuple[str, dict[Any, Any]]], list[Cleaned]]:
    """The rows without the second of each pair in the published list, and a line for each that was left out."""
    path = below.find(_DUPLICATES)
    if path is None:
        LOG.warning(
            "%s: no %s: pictures that were taken twice stay, perhaps under two patients (files with the same content "
            "are found without it); fetch the list from the ISIC archive", below.root, _DUPLICATES,
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


def warn_of_both(below: Below, rows: list[tuple[str, dict[Any, Any]]]) -> None:
    """Warn of patients of the test part who are in the training table, too, where that is there."""
    path = below.find(*TABLES["train"])
    if path is None:
        return
    tested = {str(line["patient_id"]) for _, line in rows}
    both = tested & {str(p) for p in read_table(path, text=("patient_id",))["patient_id"]}
    if both:
        LOG.warning(
            "%s: %d of %d patients of the test part are in the training table, too: a model that was trained there has "
            "seen them", below.root, len(both), len(tested),
        )  # fmt: skip
