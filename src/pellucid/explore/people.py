"""Age, sex, view and whatever else is known of the cases, by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.core.statistics import wilson
from pellucid.errors import UsageError, nearest
from pellucid.explore.cohort import Cohort
from pellucid.explore.draws import patient_interval

LEVELS = 12  # distinct values beyond which a column of words is an identifier, or a text
FEW_NUMBERS = 5  # as many distinct numbers are levels
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def columns_of(cohort: Cohort, only: Sequence[str] | None = None) -> dict[str, str]:
    """The columns of ``meta`` that can be described, and whether each is a ``number`` or of ``levels``.

    Left out: a column with one value alone, and one of so many words that it rather names the case.

    Raises:
        UsageError: ``only`` names a column that no case has, or one that cannot be described.
    """
    found = {}
    for name in cohort.meta.columns:
        values = cohort.meta[name].dropna()
        distinct = values.nunique()
        if distinct < 2:
            continue
        number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        if number and distinct > FEW_NUMBERS:
            found[str(name)] = "number"
        elif distinct <= LEVELS:
            found[str(name)] = "levels"
    if only is None:
        return found
    for name in only:
        if name not in found:
            why = "has one value alone, or too many words" if name in cohort.meta else "is in no case"
            raise UsageError(f"eda.meta: {name!r} {why}; {nearest(name, found)}")
    return {name: found[name] for name in only}


def people(cohort: Cohort, columns: dict[str, str], only: Sequence[str] = ()) -> pd.DataFrame:
    """Every column by class: shares of its levels, or mean, sd and quantiles.

    Returns:
        ``class, column, kind, level, cases, patients, of_cases, missing, share, low, high, mean, sd, q05, q25, median,
        q75, q95``. ``cases`` and ``patients`` have that level (or a number), ``of_cases`` have any; ``low`` and
        ``high`` are the interval of a level's share over patients (Wilson, where every patient has one case; else
        patients drawn with replacement), or of the mean (drawn).
    """
    rows: list[dict[str, Any]] = []
    patients = cohort.patients
    for column, kind in columns.items():
        values = cohort.meta[column]
        there = values.notna().to_numpy()
        words = values.astype(str).to_numpy() if kind == "levels" else None
        for name, inside in cohort.groups(only).items():
            mine = inside & there
            base = {
                "class": name, "column": column, "kind": kind, "of_cases": int(mine.sum()),
                "missing": int((inside & ~there).sum()),
            }  # fmt: skip
            if kind == "levels":
                for level in levels_of(values):
                    has = mine & (words == level)
                    rows.append(base | {"level": level} | _share(has, mine, patients))
            elif mine.any():
                rows.append(base | {"level": ""} | _numbers(values.to_numpy(float, na_value=np.nan), mine, patients))
    return pd.DataFrame(rows)


def levels_of(values: pd.Series) -> list[str]:
    """The levels of a column as words, in order, numbers by size."""
    known = values.dropna()
    return [str(v) for v in sorted(known.unique(), key=lambda v: (isinstance(v, str), v))]


def _share(has: NDArray[np.bool_], of: NDArray[np.bool_], patients: NDArray[np.int64]) -> dict[str, Any]:
    k, n, people_there = int(has.sum()), int(of.sum()), len(np.unique(patients[of]))
    low, high = wilson(k, n)
    if people_there < n:
        both = np.stack([has[of], np.ones(n)], 1).astype(float)
        low, high = (float(v) for v in patient_interval(both, patients[of], lambda s: s[:, 0] / np.maximum(s[:, 1], 1)))
    return {
        "cases": k, "patients": len(np.unique(patients[has])), "share": k / n if n else np.nan, "low": low,
        "high": high,
    }  # fmt: skip


def _numbers(values: NDArray[np.float64], of: NDArray[np.bool_], patients: NDArray[np.int64]) -> dict[str, Any]:
    own = values[of]
    both = np.stack([own, np.ones(len(own))], 1)
    low, high = (float(v) for v in patient_interval(both, patients[of], lambda s: s[:, 0] / np.maximum(s[:, 1], 1)))
    quantiles = np.quantile(own, QUANTILES)
    return {
        "cases": len(own), "patients": len(np.unique(patients[of])), "share": np.nan, "low": low, "high": high,
        "mean": float(own.mean()), "sd": float(own.std(ddof=1)) if len(own) > 1 else np.nan,
        **dict(zip(("q05", "q25", "median", "q75", "q95"), map(float, quantiles))),
    }  # fmt: skip
