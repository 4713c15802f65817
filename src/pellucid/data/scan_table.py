"""The scans of a folder, one in each of its folders, and the table that says what is known of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pellucid.data.layout import Below
from pellucid.errors import InputError, UsageError, nearest
from pellucid.io import read_table

LOG = logging.getLogger("pellucid")
TABLE, ID = "meta.csv", "image_id"
OLDEST = 120  # years; what is above, below 0 or no number is not an age
_SEX = {"f": "female", "m": "male"}
_KEPT = ("institute", "study_type", "manufacturer", "scanner_model", "kvp", "pathology", "pathology_location")


class ScanTable:
    """The folders with scans below a root, and ``meta.csv`` beside them if there is one.

    Args:
        root: the folder; one that holds nothing but the unpacked folder does as well.
        scan: name of the file of a scan.
        masks: name of the folder with its masks.

    Raises:
        InputError: no scans there, or a table that cannot be used: without ids, or with an id twice.
    """

    def __init__(self, root: Path, *, scan: str, masks: str) -> None:
        layout = f"the layout is ROOT/s0000/{scan}, ROOT/s0000/{masks}/STRUCTURE.nii.gz and ROOT/{TABLE}"
        if not root.is_dir():
            raise InputError(f"{root}: no such folder; {layout}")
        self.root = root
        self.folders = _scans(root, scan, masks)
        inner = [f for f in sorted(root.iterdir()) if f.is_dir()]
        if not self.folders and len(inner) == 1:
            self.root, self.folders = inner[0], _scans(inner[0], scan, masks)
        if not self.folders:
            raise InputError(f"{root}: no folder in it has a {scan}; {layout}; found {Below(root).found()}")
        self.path = self.root / TABLE
        self.rows: dict[str, dict[str, Any]] = {}
        if self.path.is_file():
            table = read_table(self.path)
            if ID not in table:
                raise InputError(f"{self.path}: no column {ID!r}; {nearest(ID, table.columns)}")
            for row in read_table(self.path, text=(ID,)).to_dict("records"):
                if row[ID] in self.rows:
                    raise InputError(f"{self.path}: {ID} {row[ID]!r} occurs twice; keep one of the lines")
                self.rows[row[ID]] = {str(k): v for k, v in row.items()}

    def chosen(
        self, *, split: str | Sequence[str] | None, ids: Sequence[str] | None, limit: int | None
    ) -> list[Path]:
        """The folders of the scans that are asked for.

        Raises:
            InputError: an id that there is not or that is named twice, no table to look the part up, or no such scan.
            UsageError: ids that are no list.
        """
        if isinstance(ids, str):
            raise UsageError(f"ids={ids!r} is one name; give a list")
        folders = {f.name: f for f in self.folders}
        wanted = list(folders) if ids is None else [str(i) for i in ids]
        for id in wanted:
            if id not in folders:
                raise InputError(f"{self.root}: no scan {id!r}; {nearest(id, folders)}")
            if wanted.count(id) > 1 and ids is not None:
                raise InputError(f"{self.root}: the scan {id!r} is named {wanted.count(id)} times in ids; name it once")
        if split is not None:
            parts = (split,) if isinstance(split, str) else tuple(str(s) for s in split)
            if not self.rows:
                raise InputError(f"{self.path}: not there, and it says which scans are {parts[0]!r}; fetch it")
            known = sorted({str(r.get("split")) for r in self.rows.values()})
            for part in parts:
                if part not in known:
                    raise InputError(f"{self.path}: no scan is of the part {part!r}; {nearest(part, known)}")
            wanted = [i for i in wanted if str(self.rows.get(i, {}).get("split")) in parts]
            if not wanted:
                raise InputError(f"{self.root}: none of the scans is of the part {', '.join(parts)}; check ids")
        return [folders[i] for i in wanted[:limit]]

    def about(self, id: str) -> dict[str, Any]:
        """What the table says of a scan: ``part``, ``age``, ``sex``, ``institute``, …; what is missing is left out."""
        row = {k: v for k, v in self.rows.get(id, {}).items() if not pd.isna(v) and str(v).strip()}
        said: dict[str, Any] = {k: row[k] for k in _KEPT if k in row}
        if "split" in row:
            said["part"] = str(row["split"]).strip()
        if "gender" in row:
            said["sex"] = _SEX.get(str(row["gender"]).strip().lower(), str(row["gender"]).strip())
        age = _age(row.get("age"))
        return said | ({} if age is None else {"age": age})

    def say(self, ids: Sequence[str]) -> None:
        """Warn of what the table does not say of these scans."""
        if not self.rows:
            LOG.warning("%s: not there: no published split, no age, no sex of any scan", self.path)
            return
        absent = sum(i not in self.rows for i in ids)
        if absent:
            unknown = "their part, age and sex are unknown"
            LOG.warning("%s: no line for %d of %d scans: %s", self.path, absent, len(ids), unknown)
        given = [self.rows[i].get("age") for i in ids if i in self.rows]
        strange = sum(not pd.isna(v) and str(v).strip() != "" and _age(v) is None for v in given)
        if strange:
            LOG.warning(
                "%s: the age of %d of %d scans is below 0, above %d or no number: it is left out", self.path, strange,
                len(ids), OLDEST,
            )  # fmt: skip


def _scans(root: Path, scan: str, masks: str) -> list[Path]:
    return [f for f in sorted(root.iterdir()) if f.is_dir() and ((f / scan).exists() or (f / masks).is_dir())]


def _age(value: Any) -> float | None:
    try:
        age = float(value)
    except (TypeError, ValueError):
        return None
    return age if 0 <= age <= OLDEST else None
