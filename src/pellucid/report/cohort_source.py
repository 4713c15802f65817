"""Region tables to draw: out of a run folder, one for each task and method, or out of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pellucid.aggregate.cohort.cube import chosen
from pellucid.aggregate.tables import load_region_table
from pellucid.errors import InputError, UsageError
from pellucid.study.store import Run


@dataclass(frozen=True)
class Source:
    """One cohort's table of one method.

    Attributes:
        name: of the folder of its figures: the task, with the method where there are several; the file's name.
        cohort: what the cohort is called: the run's folder, or the file.
        table: long, of one method and one label map, with ``group`` and the facts about cases where they are known.
    """

    name: str
    cohort: str
    table: pd.DataFrame


def sources(
    path: Path, *, task: str | None = None, method: str | None = None, of: str | None = None
) -> list[Source]:
    """The tables of a run folder or of a file.

    Args:
        path: a run folder, or a region table.
        task, method, of: only these; ``of`` is the label map that the regions come from, by default the predicted one.

    Raises:
        InputError: no table, or none with these names.
        UsageError: a name that the table does not have.
    """
    table = load_region_table(path)
    if path.is_dir():
        table = _with_facts(Run(path), table)
    if task is not None:
        table = _picked(table, "task", task)
    found = []
    tasks = list(dict.fromkeys(table["task"])) if "task" in table else [None]
    for one in tasks:
        own = table if one is None else table[table["task"] == one]
        methods = list(dict.fromkeys(own["method"].dropna())) if "method" in own else []
        wanted = [m for m in methods if method in (None, m)]
        if method is not None and not wanted:
            if len(tasks) > 1:
                continue
            _picked(own, "method", method)
        for m in wanted or [None]:
            name = one if one is not None else path.stem
            found.append(
                Source(name if len(wanted) < 2 else f"{name}/{m}", path.stem, chosen(own, method=m, of=of))
            )
    if not found:
        raise UsageError(f"{path}: no task of it has the method {method!r}")
    return found


def _picked(table: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    if column not in table:
        raise UsageError(f"the region table has no column {column!r}, so {value!r} cannot be chosen")
    if value not in set(table[column]):
        there = ", ".join(map(str, table[column].unique()))
        raise UsageError(f"no {column} {value!r} in the region table; it has {there}")
    return table[table[column] == value]


def _with_facts(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The columns of the run's ``data`` table beside each case: the patient, and what is known of them."""
    data = run.table("data")
    if "case" not in data or "task" not in table:
        return table
    if data.duplicated(["task", "case"]).any():
        raise InputError(f"{run.folder}: the table 'data' has a case twice; make the run's stage 'data' again")
    facts = data[["task", "case", *[c for c in data.columns if c not in table.columns]]]
    short = {c: c.removeprefix("meta_") for c in facts.columns if c.startswith("meta_")}
    facts = facts.rename(columns={c: s for c, s in short.items() if s not in facts and s not in table})
    return table.merge(facts.astype({"case": str}), on=["task", "case"], how="left", validate="many_to_one")
