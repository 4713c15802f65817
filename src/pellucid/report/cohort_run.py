"""All cohorts of a run or of a table drawn, beside another run, another table or another part of themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pandas as pd

from pellucid.aggregate.cohort.change import parts_of
from pellucid.errors import InputError, UsageError
from pellucid.report.cohort import Written, write_change, write_cohort
from pellucid.report.cohort_source import Source, sources


@dataclass(frozen=True)
class Drawn:
    """What became of the cohorts: those that were drawn by name, and why others were not."""

    done: Mapping[str, Written]
    failed: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return {
            "cohorts": {
                name: {"folder": str(w.folder), **w.facts, "files": [str(p) for p in w.files], "notes": w.notes}
                for name, w in self.done.items()
            },
            "failed": dict(self.failed),
        }


def draw_cohorts(
    path: Path, *, out: Path | None = None, against: Path | None = None, by: str | None = None,
    task: str | None = None, method: str | None = None, of: str | None = None, classes: Sequence[str] = (),
    patient: str | None = None, rule: Literal["top", "mass"] = "top", wide: bool = False,
    systems: Mapping[str, str] | None = None, seed: int = 0, progress: Callable[[str], None] = lambda _: None,
) -> Drawn:  # fmt: skip
    """Draw every task and method of a run's region table, or of a file.

    Args:
        path: a run folder or a region table.
        out: the folder of the figures; by default ``RUN/figures/cohort``, of a file ``runs/cohort/NAME``.
        against: another run or table: what changes from it to this one.
        by: a column of two values, such as ``sex``: what changes from the first to the second.
        task, method, of: only these (:func:`~pellucid.report.cohort_source.sources`).
        classes, patient, rule, wide, systems, seed, progress: of :func:`~pellucid.report.cohort.write_cohort`.

    Raises:
        InputError: no region table, or nothing in it could be drawn.
        UsageError: a name that is not there.
    """
    if against is not None and by is not None:
        raise UsageError("compare with another run or table, or by a column: not both at once")
    found = sources(path, task=task, method=method, of=of)
    others = [] if against is None else sources(against, task=task, method=method, of=of)
    base = out or (path / "figures" / "cohort" if path.is_dir() else Path("runs") / "cohort" / path.stem)
    done: dict[str, Written] = {}
    failed: dict[str, str] = {}
    for source in found:
        parts = [quote(p, safe="") for p in source.name.split("/")]
        folder = base.joinpath(*parts) if path.is_dir() or len(found) > 1 else base
        progress(source.name)
        try:
            pair = _pair(source, path, others, against, by)  # before the drawing: a wrong name is told at once
            made = write_cohort(
                source.table, folder, classes=classes, patient=patient, rule=rule, wide=wide, systems=systems,
                seed=seed, progress=lambda part, name=source.name: progress(f"{name}: {part}"),  # type: ignore[misc]
            )  # fmt: skip
            if pair is not None:
                (one, first), (two, second) = pair
                write_change(made, second, first, (one, two), systems=systems, seed=seed)
        except InputError as error:  # of a task without maps of regions; the others go on
            failed[source.name] = str(error)
            continue
        done[source.name] = made
    if not done:
        raise InputError("; ".join(f"{name}: {why}" for name, why in failed.items()))
    return Drawn(done, failed)


Cohort = tuple[str, pd.DataFrame]


def _pair(
    source: Source, path: Path, others: Sequence[Source], against: Path | None, by: str | None
) -> tuple[Cohort, Cohort] | None:
    """The two cohorts that are compared, with their names."""
    if against is not None:
        other = _matching(source, others, against)
        one, two = other.cohort, source.cohort
        return ((one if one != two else str(against)), other.table), ((two if one != two else str(path)), source.table)
    if by is None:
        return None
    (one, first), (two, second) = parts_of(source.table, by)
    return (f"{by} {one}", first), (f"{by} {two}", second)


def _matching(source: Source, others: Sequence[Source], path: Path) -> Source:
    same = [o for o in others if o.name == source.name]
    if same or len(others) == 1:
        return (same or list(others))[0]
    raise UsageError(
        f"{path} holds {', '.join(o.name for o in others)}, none of them {source.name!r}; choose a task and a "
        "method"
    )
