"""The scores within parts of the cohort: lesion size, confidence, correct or wrong, site, sex, age, view."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.evaluate.cohort.blocks import draws_of, methods_of

COLUMNS = ["stratum", "level", "metric", "method", "mean", "low", "high", "n", "groups", "note"]
FEWEST = 5  # patients: with fewer a level has no interval
FEW = 6  # levels: a column with more values is a number in bands, or no stratum
AGES = (40, 60, 80)
THIRDS = ("small", "middle", "large"), ("low", "middle", "high")


def strata(
    scores: pd.DataFrame, facts: pd.DataFrame, *, n_boot: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Mean of every metric and method within each level of each stratum, with a 95 % bootstrap interval over patients.

    Args:
        scores: long table: ``case``, ``group``, ``method``, ``metric``, ``value``.
        facts: one row per case: ``case``, and what :func:`levels` makes strata of.
        n_boot: draws.
        seed: of the draws.

    Returns:
        One row per stratum, level, metric and method. A level with fewer than 5 patients has no interval, and says so
        in ``note``.
    """
    found = levels(facts)
    if not found or not len(scores):
        return pd.DataFrame(columns=COLUMNS)
    owner = scores["group"].where(scores["group"].notna(), scores["case"]) if "group" in scores else scores["case"]
    table = scores.assign(_group=owner.astype(str))
    cases = table.groupby(["metric", "_group", "case", "method"], sort=False)["value"].mean().unstack("method")
    order, methods = list(dict.fromkeys(scores["metric"])), methods_of(scores)
    rows: list[dict[str, Any]] = []
    for name, of in found.items():
        place = cases.index.get_level_values("case").map(of)
        for level in dict.fromkeys(of.dropna()[of.dropna().map(_order(of)).sort_values(kind="stable").index]):
            own = cases[place == level]
            for metric in order:
                here = own[own.index.get_level_values("metric") == metric]
                if len(here):
                    part = _means(here[[m for m in methods if here[m].notna().any()]], n_boot, seed)
                    rows += [{"stratum": name, "level": level, "metric": metric, **r} for r in part]
    return pd.DataFrame(rows, columns=COLUMNS)


def levels(facts: pd.DataFrame) -> dict[str, pd.Series]:
    """What the cohort can be divided by: name of the stratum to the level of every case (index: case).

    ``region_size`` and ``confidence`` in thirds; ``correct``; every ``meta_…`` column that tells two levels apart:
    few values as they are, numbers in thirds, ``age`` in bands of twenty years.
    """
    table = facts.drop_duplicates("case").set_index("case")
    found = {}
    if "region_size" in table:
        units = table["region_unit"].dropna().unique() if "region_unit" in table else []
        found["lesion size"] = _thirds(table["region_size"], THIRDS[0], str(units[0]) if len(units) == 1 else "")
    if "confidence" in table:
        found["confidence"] = _thirds(table["confidence"], THIRDS[1], "")
    if "correct" in table:
        found["prediction"] = table["correct"].map({True: "correct", False: "wrong"})
    for column in table:
        if str(column).startswith("meta_"):
            found[str(column).removeprefix("meta_")] = _meta(str(column), table[column])
    return {name: of for name, of in found.items() if of.dropna().nunique() > 1}


def _meta(name: str, values: pd.Series) -> pd.Series:
    known = values.dropna()
    numeric = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
    if numeric and name.removeprefix("meta_").lower() in ("age", "age_years"):
        return _bands(values.astype(float))
    if known.nunique() <= FEW:
        shown = known.map(lambda v: f"{v:g}" if isinstance(v, float) else str(v))
        return shown.reindex(values.index)
    return _thirds(values, THIRDS[1], "") if numeric else _nothing(values)


def _bands(ages: pd.Series) -> pd.Series:
    names = [f"under {AGES[0]}", *(f"{a} to {b - 1}" for a, b in pairwise(AGES)), f"{AGES[-1]} and over"]
    return ages.map(lambda a: names[int(np.searchsorted(AGES, a, side="right"))], na_action="ignore")


def _thirds(values: pd.Series, names: tuple[str, ...], unit: str) -> pd.Series:
    """Three levels of about equal size, named with their bounds; fewer where values are tied."""
    number = pd.to_numeric(values, errors="coerce").astype(float)
    known = number[np.isfinite(number)]
    if known.nunique() < 3:
        return _nothing(values)
    a, b = np.quantile(known, [1 / 3, 2 / 3])
    parts = [known[known <= a], known[(known > a) & (known <= b)], known[known > b]]
    tail = f" {unit}" if unit else ""
    of: dict[Any, str] = {}
    for name, part in zip(names, parts):
        if len(part):
            low, high = f"{part.min():.3g}", f"{part.max():.3g}"
            of |= dict.fromkeys(part.index, f"{name} ({low}{'' if low == high else f' to {high}'}{tail})")
    return pd.Series([of.get(c, np.nan) for c in values.index], values.index, dtype=object)


def _nothing(like: pd.Series) -> pd.Series:
    return pd.Series([np.nan] * len(like), like.index, dtype=object)


def _order(of: pd.Series) -> dict[str, tuple[int, str]]:
    """Levels in their natural order: thirds and bands upwards, others by name."""
    first = {"small": 0, "low": 0, "under": 0, "middle": 1, "large": 3, "high": 3}
    return {v: (first.get(v.split(" ")[0], 2), v) for v in of.dropna().unique()}


def _means(rows: pd.DataFrame, n_boot: int, seed: int) -> Iterator[dict[str, Any]]:
    """``rows``: one per case, one column per method; the same draws of patients serve all methods."""
    _, groups = np.unique(rows.index.get_level_values("_group"), return_inverse=True)
    many = int(groups.max()) + 1
    draws = draws_of(many, n_boot, seed)
    for method in rows:
        values = rows[method].to_numpy(float)
        known = np.isfinite(values)
        patients = len(np.unique(groups[known]))
        low, high = _interval(values[known], groups[known], draws) if patients >= FEWEST else (np.nan, np.nan)
        yield {
            "method": str(method), "mean": float(values[known].mean()), "low": low, "high": high,
            "n": int(known.sum()), "groups": patients,
            "note": "" if patients >= FEWEST else f"{patients} patient{'s' * (patients > 1)}: too few for an interval",
        }  # fmt: skip


def _interval(
    values: NDArray[np.float64], groups: NDArray[np.int64], draws: NDArray[np.float64]
) -> tuple[float, float]:
    total = np.bincount(groups, values, minlength=draws.shape[1])
    count = np.bincount(groups, minlength=draws.shape[1])
    drawn = draws @ count
    low, high = np.quantile((draws @ total)[drawn > 0] / drawn[drawn > 0], [0.025, 0.975])
    return float(low), float(high)
