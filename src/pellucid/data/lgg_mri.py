"""Lower-grade gliomas of the TCGA in MRI: FLAIR, T1 before and after contrast, and the tumour drawn in FLAIR."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from pellucid.core.case import Case
from pellucid.data.absent import Cleaned, cleaning_table
from pellucid.data.case_list import CaseList, collect
from pellucid.data.layout import Below
from pellucid.data.lgg_slices import (
    SEQUENCES,
    Ready,
    chosen_of,
    missing_in,
    patient_of,
    patients_in,
    read_slice,
    volume_of,
)
from pellucid.data.masks import mask_on
from pellucid.data.patient_row import UNKNOWN
from pellucid.data.pictures import full_size, resized
from pellucid.data.progress import reading
from pellucid.data.registry import DATASETS
from pellucid.errors import InputError, UsageError
from pellucid.io import read_table

LOG = logging.getLogger("pellucid")
_AGE, _PATIENT = "age_at_initial_pathologic", "Patient"


@DATASETS.register("lgg_mri")
def load_lgg_mri(
    root: str | Path,
    *,
    slices: Literal["all", "tumour"] | int = "all",
    volume: bool = False,
    repeated: Literal["missing", "keep"] = "missing",
    size: int | Sequence[int] | None = 128,
    limit: int | None = None,
) -> CaseList:
    """The slices, or volumes, of the LGG segmentation data (Kaggle); one that fails is noted in ``.failed``.

    A case has the inputs ``flair``, ``t1`` and ``t1ce`` (after contrast), each ``(1, H, W)`` or ``(1, H, W, slices)``
    in [0, 1]. ``truth`` is the mask of the tumour, and the region ``"lesion"`` as well where there is one. The group
    is the patient. Where a sequence was not taken the published pictures repeat FLAIR in its place: what is FLAIR
    number by number in all slices of a patient is missing (``Case.missing``). Source: buda2019association.

    Args:
        root: the unpacked folder; the folders of the patients are found by name wherever they lie below it.
        slices: ``"all"``, ``"tumour"``: those with a tumour, or a number k: every k-th of a patient.
        volume: the slices of a patient as one volume. Their distance is not published: it has no spacing.
        repeated: ``"keep"``: FLAIR stays where it stands in for a sequence, as in the published study.
        size: rows and columns, or one number for both; of a volume also three numbers, the last one its slices. As
            stored if None.
        limit: keep the first patients only.

    Raises:
        InputError: another layout (what was expected, and what was found), or no case that can be read.
        UsageError: an option out of range.
    """
    if isinstance(slices, bool) or not (slices in ("all", "tumour") or (isinstance(slices, int) and slices >= 1)):
        raise UsageError(f"lgg_mri: slices={slices!r}; give 'all', 'tumour', or a number k for every k-th")
    if repeated not in ("missing", "keep"):
        raise UsageError(f"lgg_mri: repeated={repeated!r}; give 'missing' or 'keep'")
    shape = full_size(size, 3 if volume and isinstance(size, Sequence) and len(size) == 3 else 2)
    below = Below(root)
    patients = dict(list(patients_in(below).items())[:limit])
    table = _table(below)
    _say(table, patients, below.root)
    items: list[tuple[str, Case | InputError]] = []
    notes: list[Cleaned] = []
    with reading("lgg_mri", len(patients)) as done:
        for folder, paths in patients.items():
            found = {f"{folder}_{number}": read_slice(path) for number, path in paths.items()}
            good = {id: ready for id, ready in found.items() if isinstance(ready, Ready)}
            missing = missing_in([ready.image for ready in good.values()]) if repeated == "missing" else ()
            notes += [
                Cleaned(folder, "missing_input", f"{name} is FLAIR number by number in all slices", "kept")
                for name in missing
            ]
            chosen = chosen_of(found, slices)
            if volume and chosen:
                chosen = {folder: volume_of(folder, chosen)}
            case = partial(_case, size=shape, missing=missing, about=table.get(patient_of(folder), {}), folder=folder)
            items += [(id, case(id, ready)) for id, ready in chosen.items()]
            done()
    if notes:
        LOG.warning(
            "%s: %d of %d patients lack a sequence, in whose place the files repeat FLAIR: it is missing there",
            below.root, len({n.case for n in notes}), len(patients),
        )  # fmt: skip

    def make(_: str, case: Case | InputError) -> Case:
        if isinstance(case, InputError):
            raise case
        return case

    cases = collect(items, make, source=str(below.root))
    cases.cleaning = cleaning_table(notes)
    return cases


def _case(
    id: str, ready: Ready | InputError, *, size: tuple[int, ...] | None, missing: tuple[str, ...],
    about: Mapping[str, Any], folder: str,
) -> Case | InputError:  # fmt: skip
    if isinstance(ready, InputError):
        return ready
    spatial = ready.image.spatial
    full = None if size is None else (*size, *spatial[len(size) :])
    small = torch.from_numpy(resized(ready.image, full).array)
    inputs = {
        name: torch.zeros_like(small[:1]) if name in missing else small[channel : channel + 1]
        for name, channel in SEQUENCES.items()
    }
    try:
        mask = mask_on(ready.mask, original=spatial, size=full or spatial, what="the tumour's mask", binary=True)
    except InputError as error:
        return error
    there = bool(mask.any())
    meta = dict(about) | {"group_is": "patient", "modality": "MR"}
    if len(spatial) == 2:
        meta["class"] = "tumour" if there else "no tumour"
    return Case(
        id=id, inputs=inputs, missing=missing, truth=mask.to(torch.int16), regions={"lesion": mask} if there else {},
        group=patient_of(folder), meta=meta,
    )  # fmt: skip


def _table(below: Below) -> dict[str, dict[str, Any]]:
    """Patient to what ``data.csv`` says: the age, and the other columns as they are, most of them codes."""
    path = below.find("data.csv")
    if path is None:
        return {}
    lines = read_table(path, text=(_PATIENT,)).to_dict("records")
    out: dict[str, dict[str, Any]] = {}
    for line in lines:
        known = {
            "age" if k == _AGE else str(k): v for k, v in line.items()
            if k != _PATIENT and str(v).strip().lower() not in UNKNOWN
        }  # fmt: skip
        out[str(line[_PATIENT])] = known
    return out


def _say(table: Mapping[str, Any], patients: Mapping[str, Any], root: Path) -> None:
    """Warn of patients that the table does not know, once for all."""
    names = {patient_of(folder) for folder in patients}
    unknown = len(names - set(table))
    if not table:
        LOG.warning("%s: no data.csv: age and genomic clusters of the patients are unknown", root)
    elif unknown:
        LOG.warning("%s: no line in data.csv for %d of %d patients: age and the like are unknown", root, unknown,
                    len(names))  # fmt: skip
