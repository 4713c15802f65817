"""What is known of a patient as a row of numbers: an indicator before a number, and a column for each word."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import InputError, nearest

UNKNOWN = ("", "nan", "none", "na", "n/a", "<na>", "unknown")
"""Cells that say nothing, in lower case."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """A cell with a number: the columns ``"NAME known"`` (0 or 1) and ``"NAME"``, which is 0 where it is unknown.

    Attributes:
        name: of the column.
        column: of the table.
        low: smallest value that can be.
        high: largest value that can be; what is beyond counts as unknown, and is noted.
    """

    name: str
    column: str
    low: float = 0.0
    high: float = math.inf

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return f"{self.name} known", self.name

    def values(self, cell: Any, case: str) -> tuple[tuple[float, ...] | None, str]:
        """One value per column, None where the cell says nothing; and what of it cannot be.

        Raises:
            InputError: it is no number.
        """
        text = _text(cell)
        if text.lower() in UNKNOWN:
            return None, ""
        try:
            value = float(text)
        except ValueError as error:
            raise InputError(f"case {case}: column {self.column!r} holds {text!r}, which is no number") from error
        if not self.low <= value <= self.high:
            return None, f"{self.column} is {text}: taken as unknown"
        return (1.0, value), ""


@dataclass(frozen=True, kw_only=True)
class Word:
    """A cell with one of several words: a column of 0 and 1 for each, all of them 0 where it is unknown.

    Attributes:
        name: begins the name of each column.
        column: of the table.
        words: what the cell may hold.
    """

    name: str
    column: str
    words: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(f"{self.name} {word.lower()}" for word in self.words)

    def values(self, cell: Any, case: str) -> tuple[tuple[float, ...] | None, str]:
        """One value per column, None where the cell says nothing; and what of it cannot be, here never anything.

        Raises:
            InputError: a word that is not among them.
        """
        text = _text(cell)
        if text.lower() in UNKNOWN:
            return None, ""
        known = [word.lower() for word in self.words]
        if text.lower() not in known:
            raise InputError(f"case {case}: column {self.column!r} holds {text!r}; {nearest(text, self.words)}")
        return tuple(float(word == text.lower()) for word in known), ""


@dataclass(frozen=True)
class PatientRow:
    """The columns of a tabular input, and how a line of the data set's table becomes one.

    Attributes:
        cells: numbers and words, in the order of the columns.
    """

    cells: Sequence[Number | Word]
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Name the columns."""
        object.__setattr__(self, "names", tuple(name for cell in self.cells for name in cell.names))

    def row(self, line: Mapping[Any, Any], *, case: str) -> tuple[Tensor, bool, list[str]]:
        """The row ``(F,)``, whether anything in it is known, and what was found to be impossible.

        Raises:
            InputError: a cell that cannot be understood; names the case.
        """
        out: list[float] = []
        known, notes = False, list[str]()
        for cell in self.cells:
            values, odd = cell.values(line[cell.column], case)
            known |= values is not None
            notes += [odd] if odd else []
            out += values or (0.0,) * len(cell.names)
        return torch.tensor(out), known, notes


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()
