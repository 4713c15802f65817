"""The scores within parts of the cohort: lesion size, confidence, correct or wrong, site, sex, age, view."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.core.statistics import draws_of
from pellucid.evaluate.cohort.blocks import methods_of

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
    order, methods = list(scores["metric"].unique()), methods_of(scores)
    rows: list[dict[str, Any]] = []
    for name, of in found.items():
        place = np.array([of.get(c) for c in cases.index.get_level_values("case")], dtype=object)
        for level in sorted(set(of.dropna()), key=_order):
            own = dict(list(cases[place == level].groupby(level="metric", sort=False)))
            for metric in (m for m in order if m in own):
                here = own[metric]
                known = [m for m in methods if here[m].notna().any()]
                if known:
                    part = _means(here[known], n_boot, seed)
                    rows += [{"stratum": name, "level": level, "metric": metric, **r} for r in part]
    return pd.DataFrame(rows, columns=COLUMNS)


def levels(facts: pd.DataFrame) -> dict[str, pd.Series]:
    """What the cohort can be divided by: name of the stratum to the level of every case (index: case).

    ``region_size``, ``confidence`` and ``error`` in thirds; ``correct``; every ``meta_…`` column with several levels:
    few values as they are, numbers in thirds, ``age`` in bands of twenty years.
    """
    table = facts.drop_duplicates("case").set_index("case")
    found: dict[str, pd.Series] = {}
    if "region_size" in table:
        units = {str(u) for u in table.get("region_unit", pd.Series(dtype=str)).dropna()} - {""}
        found["lesion size"] = _thirds(table["region_size"], THIRDS[0], units.pop() if len(units) == 1 else "")
    if "confidence" in table:
        found["confidence"] = _thirds(table["confidence"], THIRDS[1], "")
    if "correct" in table:
        found["prediction"] = table["correct"].map({True: "correct", False: "wrong"}).astype(object)
    if "error" in table:
        found["error"] = _thirds(table["error"], THIRDS[1], "")
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
            low, high = _shown(part.min()), _shown(part.max())
            of |= dict.fromkeys(part.index, f"{name} ({low}{'' if low == high else f' to {high}'}{tail})")
    return pd.Series([of.get(c, np.nan) for c in values.index], values.index, dtype=object)


def _shown(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _nothing(like: pd.Series) -> pd.Series:
    return pd.Series([np.nan] * len(like), like.index, dtype=object)


def _order(level: str) -> tuple[int, str]:
    """Levels in their natural order: thirds and bands upwards, others by name."""
    first = {"small": 0, "low": 0, "under": 0, "middle": 1, "large": 3, "high": 3}
    return first.get(level.split(" ", maxsplit=1)[0], 2), level


def _means(rows: pd.DataFrame, n_boot: int, seed: int) -> Iterator[dict[str, Any]]:
    """``rows``: one per case, one column per method; the same draws of patients serve all methods."""
    _, groups = np.unique(rows.index.get_level_values("_group"), return_inverse=True)
    values = rows.to_numpy(float)
    known = np.isfinite(values)
    member = (groups[None] == np.arange(groups.max() + 1)[:, None]).astype(float)  # patients × cases
    total, count = member @ np.where(known, values, 0), member @ known
    patients = (count > 0).sum(0)
    low, high = _interval(total, count, n_boot, seed) if patients.max() >= FEWEST else (patients, patients)
    for j, method in enumerate(rows):
        n, few = int(patients[j]), patients[j] < FEWEST
        yield {
            "method": str(method), "mean": float(total[:, j].sum() / count[:, j].sum()),
            "low": np.nan if few else float(low[j]), "high": np.nan if few else float(high[j]),
            "n": int(count[:, j].sum()), "groups": n,
            "note": f"{n} patient{'s' * (n > 1)}: too few for an interval" if few else "",
        }  # fmt: skip


def _interval(
    total: NDArray[np.float64], count: NDArray[np.float64], n_boot: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % interval of each column's mean over cases, patients drawn; draws without any value are left out."""
    draws = draws_of(len(total), n_boot, seed)
    n = draws @ count
    means = np.divide(draws @ total, n, out=np.full_like(n, np.nan), where=n > 0)
    quantile = np.quantile if n.all() else np.nanquantile  # the second takes ten times as long
    low, high = quantile(means, [0.025, 0.975], axis=0)
    return low, high
