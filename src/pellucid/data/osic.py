"""OSIC pulmonary fibrosis progression: CT scans with visits at which the lung function was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from pellucid.core.case import Case
from pellucid.data.absent import Cleaned, cleaning_table, present
from pellucid.data.case_list import CaseList, collect
from pellucid.data.ct_series import prepared
from pellucid.data.ct_volume import Preparation
from pellucid.data.layout import Below
from pellucid.data.lung_function import LEAST_VISITS, Visits, visits_of
from pellucid.data.patient_row import Number, PatientRow, Word
from pellucid.data.pictures import full_size
from pellucid.data.progress import reading
from pellucid.data.registry import DATASETS
from pellucid.data.volume_cache import VolumeCache
from pellucid.errors import InputError, UsageError
from pellucid.io import read_table

SMOKING = ("Never smoked", "Ex-smoker", "Currently smokes")
PERSON = PatientRow(
    (
        Number(name="age", column="Age", high=120),
        Word(name="sex", column="Sex", words=("Female", "Male")),
        Word(name="smoking", column="SmokingStatus", words=SMOKING),
    )
)
"""What a table says of the patient, whatever the target."""

MEASURED = ("FVC", "percent")
"""In litres, and as a share, of the visit at the scan: further columns where the target is the slope, which is made
from later visits alone."""

DISPLAY = (-1000.0, 400.0)  # HU
_COLUMNS = ("Weeks", "FVC", "Percent", *(cell.column for cell in PERSON.cells))
_LAYOUT = "OSIC is a table train.csv beside train/PATIENT/1.dcm, 2.dcm, …"
Target = Literal["fvc", "percent", "slope"]


@DATASETS.register("osic")
def load_osic(
    root: str | Path,
    *,
    target: Target = "fvc",
    planes: int | None = None,
    size: int | Sequence[int] | None = 64,
    spacing: float | Sequence[float] | None = None,
    hu: Sequence[float] | None = DISPLAY,
    least: float = 0.95,
    limit: int | None = None,
    cache: str | Path | None = None,
) -> CaseList:
    """The patients of OSIC's pulmonary fibrosis progression (Kaggle); one that fails is noted in ``.failed``.

    A case has the inputs ``ct``, ``(1, X, Y, Z)`` in RAS or ``(planes, H, W)`` from feet to head, and ``table``: age,
    sex and smoking, for ``target="slope"`` also FVC and per cent predicted at the scan. No column is made from the
    target, nor the target from a column. The group is the patient. Source: osic2020pulmonary.

    Args:
        root: the unpacked folder; one that holds nothing but it does as well. Its ``train.csv`` is read: the published
            test patients are in it, too.
        target: what ``truth`` is: ``"fvc"``, the forced vital capacity in litres at the visit that is nearest to the
            scan; ``"percent"``, the per cent of what is predicted, as a share: 1 is what is predicted; ``"slope"``, the
            change of the FVC in ml a week by least squares over the later visits (a patient with fewer than three of
            them fails).
        planes: as many axial planes, evenly spaced, become the channels of a picture; a volume if None.
        size: voxels along each axis, or pixels of a plane; proportions are not kept. As stored if None.
        spacing: millimetres, one number or three, of a volume, in place of ``size``, which then has to be None.
        hu: the window that becomes [0, 1], what is beyond it clipped; None keeps HU.
        least: the share of the patients in the table whose folder must be there.
        limit: keep the first patients only.
        cache: a folder, seen from ``root``, where each prepared scan is kept in a file, which a second start reads.

    Raises:
        InputError: another layout (what was expected, and what was found), a column that is missing, too many absent
            scans, or no case that can be read.
        UsageError: an option out of range, or options that contradict each other.
    """
    if target not in ("fvc", "percent", "slope"):
        raise UsageError(f"osic: target={target!r}; give one of fvc, percent, slope")
    if planes is not None and (isinstance(planes, bool) or not isinstance(planes, int) or planes < 1):
        raise UsageError(f"osic: planes={planes!r}; give how many planes, at least 1, or leave it out for volumes")
    if spacing is not None and (planes is not None or size is not None):
        other = "planes" if planes is not None else "size"
        raise UsageError(
            f"osic: spacing={spacing} and {other} are both given; set {other}: null, or leave spacing out"
        )
    shape = full_size(size, 3 if planes is None else 2)
    how = Preparation(hu=None if hu is None else tuple(hu), spacing=spacing, nan=-1024.0)  # type: ignore[arg-type]
    base = _base(Path(root))
    rows = _lines(base / "train.csv")[:limit]
    if not any((base / "train" / id).is_dir() for id, _ in rows):
        found = Below(base).found()
        raise InputError(f"{base}: none of the {len(rows)} patients has a folder in train; {_LAYOUT}; found {found}")
    rows, absent = present(
        rows, lambda id, _: (base / "train" / id).is_dir(), least=least, source=str(base), what="scans"
    )
    notes = list(absent)
    kept = None
    if cache is not None:
        options = how.describe() | {"planes": planes, "size": shape}
        kept = VolumeCache(folder=base / cache, options=options)

    with reading("osic", len(rows)) as done:

        def make(id: str, lines: Sequence[Mapping[Any, Any]]) -> Case:
            try:
                visits = visits_of(lines, case=id)
                truth = _truth(visits, target, id)
                row, known, odd = PERSON.row(lines[0], case=id)
                ct, place = prepared(base / "train" / id, how, planes, shape, kept)
            finally:
                done()
            notes.extend(Cleaned(id, "age", why, "kept") for why in odd)
            notes.extend(
                Cleaned(id, "duplicate", f"several lines of week {w:g}: their mean is taken", "kept")
                for w in visits.repeated
            )
            names = PERSON.names
            if target == "slope":
                at = visits.baseline
                row, known = torch.cat([row, torch.tensor([visits.fvc[at] / 1000, visits.percent[at] / 100])]), True
                names += MEASURED
            return Case(
                id=id, inputs={"ct": ct, "table": row}, missing=() if known else ("table",), truth=truth, group=id,
                meta=_meta(lines[0], visits, names, how.shown(DISPLAY)), **place,
            )  # fmt: skip

        cases = collect(rows, make, source="osic")
    cases.cleaning = cleaning_table(notes)
    return cases


def _base(root: Path) -> Path:
    """The folder with the table: the root, or the only folder in it."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; {_LAYOUT}")
    inner = [f for f in sorted(root.iterdir()) if f.is_dir()]
    if not (root / "train.csv").is_file() and len(inner) == 1 and (inner[0] / "train.csv").is_file():
        return inner[0]
    if not (root / "train.csv").is_file():
        raise InputError(f"{root}: no table (train.csv); {_LAYOUT}; found {Below(root).found()}")
    return root


def _lines(path: Path) -> list[tuple[str, list[dict[Any, Any]]]]:
    """Each patient with the lines of the visits, in the order of the table."""
    have = {str(c) for c in read_table(path).columns}
    absent = [c for c in ("Patient", *_COLUMNS) if c not in have]
    if absent:
        raise InputError(f"{path}: no column {', '.join(absent)}; it has {', '.join(sorted(have))}; {_LAYOUT}")
    lines: dict[str, list[dict[Any, Any]]] = defaultdict(list)
    for line in read_table(path, text=("Patient", *_COLUMNS)).to_dict("records"):
        lines[str(line["Patient"])].append(line)
    for id in lines:
        if Path(id).name != id and id:
            raise InputError(f"{path}: a patient is called {id!r}, which is no name of a folder; correct the table")
    return list(lines.items())


def _truth(visits: Visits, target: Target, case: str) -> float:
    # Litres and shares are near 1, as what a network answers before it has learnt anything is near 0: from there to
    # 2500 ml its last bias would go by a learning rate a step.
    if target == "fvc":
        return visits.fvc[visits.baseline] / 1000
    if target == "percent":
        return visits.percent[visits.baseline] / 100
    slope = visits.slope
    if slope is None:
        later = len(visits.weeks) - visits.baseline - 1
        raise InputError(
            f"case {case}: {later} visits after the one at the scan, and a slope needs {LEAST_VISITS}; take the "
            "patient out, or choose another target"
        )
    return slope


def _meta(
    line: Mapping[Any, Any], visits: Visits, names: tuple[str, ...], window: tuple[float, float]
) -> dict[str, Any]:
    known: dict[str, Any] = {"sex": str(line["Sex"]).strip().lower(), "smoking": str(line["SmokingStatus"]).strip()}
    row, _, _ = PERSON.row(line, case="")
    known |= {"age": float(row[1])} if row[0] else {}
    return {k: v for k, v in known.items() if v != ""} | {
        "weeks": visits.weeks[visits.baseline], "visits": len(visits.weeks), "modality": "CT", "group_is": "patient",
        "window": window, "features": {"table": names},
    }  # fmt: skip
