"""One measure of a region table as an array: cases × targets × regions, with who belongs to which patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.aggregate.wide import LONG
from pellucid.core.statistics import Array
from pellucid.errors import InputError, UsageError, unknown

BACKGROUND = "background"


@dataclass(frozen=True)
class Cube:
    """A measure of a cohort.

    Attributes:
        measure: its name.
        cases: in the order of the table.
        groups: ``(cases,)`` number of each case's patient, 0 to patients − 1.
        patients: their names.
        targets, regions: in the order of the table.
        values: ``(cases, targets, regions)``; NaN where the table has none.
    """

    measure: str
    cases: tuple[str, ...]
    groups: NDArray[np.int64]
    patients: tuple[str, ...]
    targets: tuple[str, ...]
    regions: tuple[str, ...]
    values: Array

    def of(self, target: str) -> Array:
        """``(cases, regions)`` of one target."""
        if target not in self.targets:
            raise unknown("target", target, self.targets)
        return self.values[:, self.targets.index(target)]


def cube(table: pd.DataFrame, *, measure: str = "mass") -> Cube:
    """The values of one measure.

    Args:
        table: long: ``case``, ``target``, ``region``, ``measure``, ``value``; with a column ``group``, that is the
            patient, by default every case its own.
        measure: one of the table's.

    Raises:
        InputError: a column or the measure is missing.
        UsageError: a cell has two values: choose one method and one label map (:func:`chosen`).
    """
    missing = [c for c in LONG if c not in table]
    if missing:
        raise InputError(f"region table: no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    rows = table[table["measure"] == measure]
    if not len(rows):
        there = ", ".join(sorted(map(str, table["measure"].unique()))) or "no rows"
        raise InputError(f"region table: no measure {measure!r}; it has {there}")
    cases = list(dict.fromkeys(table["case"].astype(str)))
    targets, regions = list(dict.fromkeys(rows["target"])), list(dict.fromkeys(rows["region"]))
    at = [
        pd.Categorical(rows["case"].astype(str), cases).codes, pd.Categorical(rows["target"], targets).codes,
        pd.Categorical(rows["region"], regions).codes,
    ]  # fmt: skip
    place = np.ravel_multi_index(tuple(np.asarray(a, np.int64) for a in at), (len(cases), len(targets), len(regions)))
    first, often = np.unique(place, return_counts=True)
    if len(first) < len(place):
        k = int(np.flatnonzero(place == first[often > 1][0])[0])
        row = rows.iloc[k]
        raise UsageError(
            f"case {row['case']}: target {row['target']!r}, region {row['region']!r}, {measure} has several values; "
            "choose one method and one label map"
        )
    values = np.full(len(cases) * len(targets) * len(regions), np.nan)
    values[place] = rows["value"].to_numpy(float)
    owner = dict(zip(table["case"].astype(str), _owners(table)))
    patients, groups = np.unique([owner[c] for c in cases], return_inverse=True)
    return Cube(
        measure, tuple(cases), groups.astype(np.int64), tuple(map(str, patients)), tuple(map(str, targets)),
        tuple(map(str, regions)), values.reshape(len(cases), len(targets), len(regions)),
    )  # fmt: skip


def _owners(table: pd.DataFrame) -> pd.Series:
    cases = table["case"].astype(str)
    if "group" not in table:
        return cases
    return table["group"].where(table["group"].notna(), cases).astype(str)


def chosen(
    table: pd.DataFrame, *, task: str | None = None, method: str | None = None, of: str | None = None
) -> pd.DataFrame:
    """The rows of one task, one method and one label map.

    What is not named must be single in the table; of several label maps, ``"predicted"`` is taken.

    Raises:
        UsageError: a name that the table does not have, or several to choose from.
    """
    for column, asked in (("task", task), ("method", method), ("of", of)):
        if column not in table:
            if asked is not None:
                raise UsageError(f"the region table has no column {column!r}, so {asked!r} cannot be chosen")
            continue
        there = [str(v) for v in table[column].dropna().unique()]
        one = asked
        if one is None and column == "of" and "predicted" in there:
            one = "predicted"
        kinds = [*there, *(["none named"] if there and table[column].isna().any() else [])]
        if one is None and len(kinds) > 1:
            raise UsageError(f"the region table holds several of {column!r}: {', '.join(kinds)}; choose one")
        if one is not None:
            if one not in there:
                raise unknown(column, one, there)
            table = table[table[column] == one]
    return table


def some(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The rows of some targets; their regions stay all.

    Raises:
        UsageError: a class that is no target of the table.
    """
    there = list(dict.fromkeys(table["target"].astype(str)))
    for name in classes:
        if name not in there:
            raise unknown("class", name, there)
    return table[table["target"].isin(list(classes))]
