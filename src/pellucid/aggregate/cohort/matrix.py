"""Targets × regions: the cohort's mean of a measure, with intervals over patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pellucid.aggregate.cohort.cube import BACKGROUND, Cube, cube
from pellucid.core.statistics import FEWEST, Array, draws_of, interval, mean
from pellucid.errors import InputError

COLUMNS = ["target", "region", "mean", "low", "high", "n", "patients", "note"]


def matrix(values: Cube, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Mean over cases of every target and region, with a 95 % bootstrap interval.

    Patients are drawn with all of their cases. Cases in which a cell is NaN (the class was not predicted) have no part.

    Args:
        values: of :func:`~pellucid.aggregate.cohort.cube.cube`.
        n_boot, seed: of the draws.

    Returns:
        ``target``, ``region``, ``mean``, ``low``, ``high``, ``n`` cases, ``patients``, ``note``. Fewer than 5 patients
        have no interval.
    """
    rows = [
        {"target": t, "region": r, **measured(values.values[:, i, j], values, n_boot=n_boot, seed=seed)}
        for i, t in enumerate(values.targets) for j, r in enumerate(values.regions)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def measured(one: Array, values: Cube, *, n_boot: int, seed: int) -> dict[str, Any]:
    """Mean and interval of ``(cases,)`` values of a cohort."""
    known = np.isfinite(one)
    patients = len(np.unique(values.groups[known]))
    low, high, note = np.nan, np.nan, f"{patients} patient{'s' * (patients != 1)}: too few for an interval"
    if patients >= FEWEST:
        low, high, note = interval(one, values.groups, draws_of(len(values.patients), n_boot, seed))
    return {"mean": mean(one), "low": low, "high": high, "n": int(known.sum()), "patients": patients, "note": note}


def square(table: pd.DataFrame, *, column: str = "mean") -> pd.DataFrame:
    """The matrix as a square-ish frame, index the targets, columns the regions, in the table's order."""
    wide = table.pivot(index="target", columns="region", values=column)
    return wide.reindex(index=list(dict.fromkeys(table["target"])), columns=list(dict.fromkeys(table["region"])))


def overlaps(
    table: pd.DataFrame, *, background: str = BACKGROUND, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Dice and IoU of every class, and of the foreground: a case's mean over its classes without the background.

    Returns:
        ``measure``, ``target`` (``"foreground"`` last), ``mean``, ``low``, ``high``, ``n``, ``patients``, ``note``;
        no rows where the table has neither measure.
    """
    rows = []
    for name in ("dice", "iou"):
        try:
            values = cube(table, measure=name)
        except InputError:
            if "measure" not in table:
                raise
            continue
        found = {t: values.values[:, i, 0] for i, t in enumerate(values.targets)}
        front = np.array([v for t, v in found.items() if t != background]).reshape(-1, len(values.cases))
        known = np.isfinite(front)
        with np.errstate(invalid="ignore"):
            found["foreground"] = np.where(known, front, 0.0).sum(0) / known.sum(0)
        rows += [
            {"measure": name, "target": t, **measured(v, values, n_boot=n_boot, seed=seed)} for t, v in found.items()
        ]
    return pd.DataFrame(rows, columns=["measure", "target", *COLUMNS[2:]])
