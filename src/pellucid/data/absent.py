"""Files that a data set lists and that are not there: below a share it is refused, above it goes on and says so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import pandas as pd

from pellucid.errors import InputError, UsageError

LOG = logging.getLogger("pellucid")
T = TypeVar("T")


class Cleaned(NamedTuple):
    """What was noticed of one case before it was read: a line of the table ``cleaning``.

    Attributes:
        case: its id.
        problem: one word: absent, corrupt, duplicate, size, age, …
        detail: what exactly.
        action: what was done: left out, kept.
    """

    case: str
    problem: str
    detail: str
    action: str


def cleaning_table(lines: Iterable[Cleaned]) -> pd.DataFrame:
    """The lines as a table with the columns ``case, problem, detail, action``; it may have no lines."""
    return pd.DataFrame(list(lines), columns=list(Cleaned._fields))


def present(
    rows: Sequence[tuple[str, T]],
    there: Callable[[str, T], bool],
    *,
    least: float,
    source: str,
    what: str = "pictures",
) -> tuple[list[tuple[str, T]], list[Cleaned]]:
    """The listed rows whose files are there, and a line for each of the others.

    Args:
        rows: id and entry of each that is listed.
        there: whether the file of one is there.
        least: the share of the listed that must be there, from 0 to 1.
        source: what to call the data set in a message.
        what: the files are.

    Raises:
        InputError: fewer are there; says how many are absent.
        UsageError: a share that is none.
    """
    if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
        raise UsageError(f"least={least!r}; give the share of the listed {what} that must be there, from 0 to 1")
    found = [there(id, row) for id, row in rows]
    kept = [row for row, is_there in zip(rows, found) if is_there]
    absent = [row[0] for row, is_there in zip(rows, found) if not is_there]
    if absent and len(kept) < least * len(rows):
        share = int(1000 * len(kept) / len(rows)) / 1000  # rounded down, so that it lets these through
        raise InputError(
            f"{source}: {len(absent)} of the {len(rows)} listed {what} are not there (the first: {absent[0]}), and "
            f"least={least:g} of them have to be; fetch them, or set least: {share:g} to go on without them"
        )
    if absent:
        LOG.warning("%s: %d of the %d listed %s are not there: left out", source, len(absent), len(rows), what)
    return kept, [Cleaned(id, "absent", f"its {what.removesuffix('s')} is not there", "left out") for id in absent]
