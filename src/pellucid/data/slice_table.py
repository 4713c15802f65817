"""The table of a study of slices: a line for each, with its file, its label and its patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pellucid.errors import InputError, UsageError, nearest
from pellucid.io import read_table
from pellucid.io.files import stem

COLUMNS = ("img_name", "label", "group")
MORE = ("slice", "id")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table.

    Attributes:
        id: of the case: the column ``id``, or the file's name, with its folders and slice if it has them.
        file: name of the picture, with ``/`` between folders.
        label: the cell as it is.
        group: the patient; empty where the table does not say.
        slice: which slice of a volume, or None.
        row: all of the line.
    """

    id: str
    file: str
    label: str
    group: str
    slice: int | None
    row: Mapping[Any, Any]


def read_lines(
    path: Path, *, delimiter: str | None, columns: Mapping[str, str] | None, meta: Sequence[str]
) -> list[Line]:
    """The lines of the table; ``columns`` is our name to the table's.

    Raises:
        InputError: an unusable table, no such column, no column of patients, a slice that is no whole number.
        UsageError: a name in ``columns`` that is none of ours.
    """
    for name in columns or {}:
        if name not in (*COLUMNS, *MORE):
            raise UsageError(f"mri_slices: columns has {name!r}; {nearest(name, (*COLUMNS, *MORE))}")
    have = [str(c) for c in read_table(path, delimiter=delimiter).columns]
    names = {name: name for name in (*COLUMNS, *MORE) if name in (*COLUMNS, "slice")} | dict(columns or {})
    if "slice" not in (columns or {}) and "slice" not in have:
        del names["slice"]
    for name, column in names.items():
        if column not in have:
            raise InputError(f"{path}: {_absent(name, column, have)}")
    for column in meta:
        if column not in have:
            raise InputError(f"{path}: no column {column!r} for meta; {nearest(column, have)}")
    table = read_table(path, text=tuple(dict.fromkeys(names.values())), delimiter=delimiter)
    lines = []
    for number, row in enumerate(table.to_dict("records"), 2):
        file = str(row[names["img_name"]]).replace("\\", "/").strip("/")
        k = _slice(row[names["slice"]], f"{path}: line {number}") if "slice" in names else None
        own = "-".join([*PurePosixPath(file).parts[:-1], stem(file)]) if file else ""
        own += f"-{k}" if own and k is not None else ""
        lines.append(Line(
            id=str(row[names["id"]]) if "id" in names else own, file=file, label=row[names["label"]],
            group=row[names["group"]], slice=k, row=row,
        ))  # fmt: skip
    return lines


def check_groups(lines: Sequence[Line], path: Path, *, mixed: Literal["fail", "keep"]) -> None:
    """Make sure that no patient has slices of two classes, unless they are to be kept.

    Raises:
        InputError: how many have, and where the first is; their names stay out of the message.
    """
    labels: dict[str, dict[str, int]] = defaultdict(dict)
    for number, line in enumerate(lines, 2):
        if line.group and line.label:
            labels[line.group].setdefault(line.label, number)
    several = [seen for seen in labels.values() if len(seen) > 1]
    if several and mixed == "fail":
        first, second = sorted(several[0].values())[:2]
        raise InputError(
            f"{path}: {len(several)} of {len(labels)} patients have slices of more than one class (the first: lines "
            f"{first} and {second}). If the class is the patient's, correct the table; if it is the slice's, set "
            "mixed: keep, and each slice keeps its own while the split still goes by patient"
        )


def shared_names(lines: Sequence[Line]) -> set[str]:
    """The names, without folders and suffix, that files of several patients have."""
    owners: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        owners[stem(line.file)].add(line.group)
    return {name for name, groups in owners.items() if len(groups) > 1}


def _absent(name: str, column: str, have: Sequence[str]) -> str:
    if name == "group":
        return (
            f"no column {column!r}: without the patients, slices of one would be on both sides of a split, and what "
            "was trained on would be tested. Name it with columns: {group: …}; if every slice is of another patient, "
            f"set columns: {{group: img_name}}; {nearest(column, have)}"
        )
    return f"no column {column!r}; name it with columns: {{{name}: …}}; {nearest(column, have)}"


def _slice(cell: str, where: str) -> int | None:
    if not cell:
        return None
    try:
        number = float(cell)
        if number == int(number) >= 0:
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise InputError(f"{where}: slice {cell!r} is no whole number from 0")
