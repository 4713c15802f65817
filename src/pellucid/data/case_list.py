"""Cases, and those that could not be made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import pandas as pd

from pellucid.core.case import Case, check_unique
from pellucid.errors import InputError, PellucidError, UsageError

T = TypeVar("T")


class CaseList(list[Case]):
    """A list of cases; ``failed`` holds ``(id, reason)`` of each one that could not be read.

    ``cleaning`` is a table with a line (``case``, ``problem``, ``detail``, ``action``) for whatever was noticed of a
    case and dealt with: a duplicate that was left out, a picture that is listed and absent; None where nothing looked.
    """

    def __init__(self, cases: Iterable[Case] = (), failed: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(cases)
        self.failed: list[tuple[str, str]] = list(failed)
        self.cleaning: pd.DataFrame | None = None


def collect(items: Iterable[tuple[str, T]], make: Callable[[str, T], Case], *, source: str) -> CaseList:
    """Make a case of each ``(id, item)``; one that fails is noted and does not stop the others.

    Args:
        items: ids and what the cases are made from.
        make: makes one case.
        source: what to call the data set in a message.

    Raises:
        InputError: nothing to make, an id that occurs twice, or no case that could be made.
        UsageError: an option that no case can be made with.
    """
    items = list(items)
    if not items:
        raise InputError(f"{source}: no cases; check the selection and the path")
    nameless = [
        (f"line {n}", f"line {n} has no id; fill in the id column, or its file")
        for n, (id, _) in enumerate(items, 1)
        if not id
    ]
    items = [(id, item) for id, item in items if id]
    ids = [id for id, _ in items]
    double = next((id for id in ids if ids.count(id) > 1), None) if len(set(ids)) < len(ids) else None
    if double is not None:
        raise InputError(
            f"{source}: the id {double!r} occurs {ids.count(double)} times; ids name the maps, so each has to be its "
            "own: choose another id column or rename the files"
        )
    cases = CaseList(failed=nameless)
    for id, item in items:
        try:
            cases.append(make(id, item))
        except UsageError:  # the call is wrong, not the case
            raise
        except PellucidError as error:
            reason = str(error)
            cases.failed.append((id, reason if id in reason else f"case {id}: {reason}"))
    if not cases:
        raise InputError(
            f"{source}: none of the {len(cases.failed)} cases could be read; the first: {cases.failed[0][1]}"
        )
    check_unique(cases)
    return cases
