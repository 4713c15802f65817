"""The label of a case from the cell of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pellucid.errors import InputError, nearest


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
