"""The label or labels of a case from the cells of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.errors import InputError, UsageError, nearest

Others = Literal["fail", "ignore"]
_YES_NO = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


def truth_of(cell: Any, *, case: str, column: str, classes: Sequence[str] | None) -> int | float | None:
    """A class index from a name or a number, or a score; None for an empty cell.

    With ``classes`` the cell is one of the names, or else an index into them. Without, it is a number: a class index
    if it is written as a whole number, a score if it has a decimal point.

    Raises:
        InputError: outside the classes, or neither a known name nor a number; names the case.
    """
    names = None if classes is None else [str(c) for c in classes]
    text = "" if cell is None else str(cell).strip()
    if text == "" or text.lower() == "nan":
        return None
    if names is not None and text in names:
        return names.index(text)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        why = f"; {nearest(text, names)}" if names else "; name the classes with classes=[…]"
        raise InputError(f"case {case}: label {text!r} in column {column!r} is no class and no number{why}")
    if names is None:
        return int(number) if number.is_integer() and not _written_as_real(text) else number
    if not number.is_integer() or not 0 <= number < len(names):
        raise InputError(
            f"case {case}: label {text} in column {column!r} is outside the {len(names)} classes "
            f"({', '.join(names)}), numbered from 0"
        )
    return int(number)


def _written_as_real(text: str) -> bool:
    return "." in text or "e" in text.lower()


def vector_of(row: Mapping[Any, Any], columns: Sequence[str], *, case: str) -> Tensor | None:
    """A vector of 0 and 1 from one column per label; None if one of the cells is empty, for then it is unknown.

    Raises:
        InputError: a cell that holds something else; names the case.
    """
    values: list[int] = []
    unknown = False
    for column in columns:
        text = "" if row[column] is None else str(row[column]).strip().lower()
        if text in ("", "nan", "none", "<na>"):
            unknown = True
        elif text in _YES_NO:
            values.append(_YES_NO[text])
        else:
            raise InputError(
                f"case {case}: column {column!r} holds {row[column]!r}; a label is 0 or 1, empty where it is unknown"
            )
    return None if unknown else torch.tensor(values, dtype=torch.int64)


def names_vector(
    cell: Any, *, case: str, column: str, classes: Sequence[str], separator: str, none: str | None = None,
    others: Others = "fail",
) -> Tensor | None:  # fmt: skip
    """A vector of 0 and 1 from names joined in one cell; None for an empty cell.

    Args:
        cell: such as ``"Mass|Nodule"``.
        case: its id, for messages.
        column: the cell's, for messages.
        classes: the names, in order.
        separator: between the names.
        none: what stands in the cell where there is none of the classes, such as ``"No Finding"``.
        others: what becomes of a name that is no class: ``"fail"`` or ``"ignore"``.

    Raises:
        InputError: a name that is no class and is not to be ignored, or ``none`` beside one; names the case.
    """
    names = [name.strip() for name in ("" if cell is None else str(cell)).split(separator)]
    names = [name for name in names if name and name.lower() != "nan"]
    if not names:
        return None
    if none is not None and none in names:
        if len(set(names)) > 1:
            raise InputError(f"case {case}: column {column!r} holds {none!r} and another label: {cell!r}; correct it")
        names = []
    for name in names:
        if name not in classes and others == "fail":
            hint = nearest(name, classes)
            raise InputError(f"case {case}: label {name!r} in column {column!r} is none of the classes; {hint}")
    return torch.tensor([int(name in names) for name in classes], dtype=torch.int64)


@dataclass(frozen=True, kw_only=True)
class LabelColumns:
    """Where the truth stands in a line of a table: in one column, in several, or nowhere.

    Attributes:
        label: column of a class or a score, or with ``separator`` of several names.
        labels: columns of 0 and 1.
        separator: between the names in ``label``.
        none: what ``label`` holds where there is none of the classes.
        others: whether a name in ``label`` that is no class fails, or is ignored.
        classes: names of the classes, in order.

    Raises:
        UsageError: options that contradict each other.
    """

    label: str | None = None
    labels: Sequence[str] | None = None
    separator: str | None = None
    none: str | None = None
    classes: Sequence[str] | None = None
    others: Others = "fail"

    def __post_init__(self) -> None:
        """Check that the options fit together."""
        if self.label is not None and self.labels is not None:
            raise UsageError("give one truth: label or labels, not both")
        if isinstance(self.labels, str):
            raise UsageError(f"labels={self.labels!r} is one column: give a list of them, or label={self.labels!r}")
        if self.labels is not None and self.classes is not None and len(self.classes) != len(self.labels):
            raise UsageError(f"{len(self.labels)} columns of labels have {len(self.classes)} classes; give as many")
        if self.separator is not None and (not self.separator or self.label is None or self.classes is None):
            raise UsageError("label_separator divides the names in a column: give label and classes with it")
        if self.none is not None and self.separator is None:
            raise UsageError("no_label goes with label_separator")
        if self.others not in ("fail", "ignore"):
            raise UsageError(f"other_labels={self.others!r}; give 'fail' or 'ignore'")
        if self.others == "ignore" and self.separator is None:
            raise UsageError("other_labels goes with label_separator")

    @property
    def several(self) -> bool:
        """Whether the labels are independent, a vector."""
        return bool(self.labels) or self.separator is not None

    def truth(self, row: Mapping[Any, Any], *, case: str) -> Any:
        """The truth of a line; None where it is unknown.

        Raises:
            InputError: a cell that cannot be understood; names the case.
        """
        if self.labels:
            return vector_of(row, self.labels, case=case)
        if self.label is None:
            return None
        cell, names = row[self.label], [str(c) for c in self.classes or ()]
        if self.separator is not None:
            return names_vector(
                cell, case=case, column=self.label, classes=names, separator=self.separator, none=self.none,
                others=self.others,
            )  # fmt: skip
        return truth_of(cell, case=case, column=self.label, classes=self.classes)
