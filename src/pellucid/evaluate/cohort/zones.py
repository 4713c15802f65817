"""Global importance: where in the picture, or in which column of a table, a cohort's evidence lies, and how sure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.core.statistics import FEWEST, Array, draws_of
from pellucid.errors import UsageError

MEASURES = ("mass", "enrichment", "absolute", "signed_sum")
RELATIVE = ("mass", "enrichment")  # those in which maps of different scales can be compared
KEYS = ["method", "target_index", "target", "kind", "zone"]
NEEDED = ("case", *KEYS, *MEASURES)
COLUMNS = [
    *KEYS, "outcome", "measure", "mean", "low", "high", "n", "groups", "share", "random", "over_random",
    "over_random_low", "over_random_high", "note",
]  # fmt: skip
ALL, EVERY = "all", "all findings"
OUTCOMES = ("TP", "FP", "FN", "TN")
CONTROL = "random"


def zone_importance(rows: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0, control: str = CONTROL) -> pd.DataFrame:
    """The mean of every measure in every zone over the cases, with 95 % intervals over patients.

    Of each method and finding, over all its maps and over those of each outcome (TP, FP, FN, TN); and over all findings
    together. ``mass`` is the zone's part of the map's magnitude, ``enrichment`` that over the zone's part of the
    picture, ``absolute`` ``Σ|A|`` of the zone (of a column of a table ``|A|``: its mean is the usual mean |SHAP|),
    ``signed_sum`` ``ΣA``. Beside the mean of the first two stands that of the control's maps of the same cases and
    findings, and the difference to them. Patients are drawn with all their maps.

    Args:
        rows: one per map and zone: ``case``, ``group``, ``method``, ``target_index``, ``target``, ``kind`` (``zone`` or
            ``feature``), ``zone``, ``share``, the measures, and ``outcome`` where it is known.
        n_boot, seed: of the draws.
        control: the method that the others are compared with.

    Returns:
        ``method, target_index, target, kind, zone, outcome, measure, mean, low, high, n`` (maps)``, groups`` (patients)
        ``, share, random, over_random, over_random_low, over_random_high, note``. Of fewer than 5 patients there is no
        interval. ``target_index`` is −1 in the rows of all findings.

    Raises:
        UsageError: a column is missing.
    """
    missing = [c for c in NEEDED if c not in rows]
    if missing:
        raise UsageError(f"zone_importance: the table has no column {', '.join(map(repr, missing))}")
    if not len(rows):
        return pd.DataFrame(columns=COLUMNS)
    table = rows.reset_index(drop=True)
    table["_map"] = table.groupby(["case", "target_index"], sort=False).ngroup()  # of one method, the number of its map
    owner = table["group"].where(table["group"].notna(), table["case"]) if "group" in table else table["case"]
    people, place = np.unique(owner.astype(str), return_inverse=True)
    draws = draws_of(len(people), n_boot, seed)
    places = pd.Series(place, index=table.index)
    known = table["outcome"] if "outcome" in table else pd.Series(None, index=table.index, dtype=object)
    beside = _beside(table, control)
    found: list[dict[str, Any]] = []
    pooled = table.assign(target_index=-1, target=EVERY)
    parts = [table, pooled] if table["target_index"].nunique() > 1 else [table]
    for part in parts:
        for keys, own in part.groupby(["method", "target_index", "target", "kind"], sort=False):
            named = dict(zip(("method", "target_index", "target", "kind"), keys, strict=True))
            for outcome in (ALL, *OUTCOMES):
                mine = own if outcome == ALL else own[known[own.index] == outcome]
                if len(mine):
                    place_of, rival = places[mine.index], beside.loc[mine.index]
                    found += _of_zones(mine, rival, place_of, draws, named | {"outcome": outcome})
    return pd.DataFrame(found, columns=COLUMNS)


def _beside(table: pd.DataFrame, control: str) -> pd.DataFrame:
    """The control's measures of the same case, finding and zone, row by row; NaN where there are none."""
    keys = ["case", "target_index", "kind", "zone"]
    theirs = table.loc[table["method"] == control, [*keys, *MEASURES]].drop_duplicates(keys)
    joined = table[keys].merge(theirs, on=keys, how="left")
    return joined[list(MEASURES)].set_index(table.index)


def _of_zones(
    rows: pd.DataFrame, beside: pd.DataFrame, places: pd.Series, draws: Array, named: dict[str, Any]
) -> list[dict[str, Any]]:
    """The rows of all zones and measures of one subset of maps: one matrix product draws all of them anew."""
    zones = list(dict.fromkeys(rows["zone"]))
    values, gaps, controls, shares = [], [], [], []
    maps, number = np.unique(rows["_map"], return_inverse=True)
    for zone in zones:
        inside = (rows["zone"] == zone).to_numpy()
        own, rival = rows.loc[inside, list(MEASURES)].to_numpy(float), beside.loc[inside].to_numpy(float)
        placed = np.full((3, len(maps), len(MEASURES)), np.nan)
        placed[:, number[inside]] = own, rival, own - rival
        values.append(placed[0])
        controls.append(placed[1])
        gaps.append(placed[2])
        shares.append(float(rows.loc[inside, "share"].mean()) if "share" in rows else np.nan)
    at = np.zeros(len(maps), dtype=np.int64)
    at[number] = places.to_numpy()
    stacked = np.concatenate([*values, *gaps], axis=1)  # maps × (zones · measures, twice)
    mean, low, high, n, groups = _bootstrapped(stacked, at, draws)
    half = len(zones) * len(MEASURES)
    rival_mean = _means(np.concatenate(controls, axis=1))
    is_control = bool(named["method"] == CONTROL)
    out = []
    for z, zone in enumerate(zones):
        for m, measure in enumerate(MEASURES):
            k = z * len(MEASURES) + m
            people = int(groups[k])
            few = f"{people} patient{'s' * (people != 1)}: too few for an interval" if people < FEWEST else ""
            scaled = measure in RELATIVE and not is_control
            apart = (mean[half + k], low[half + k], high[half + k]) if scaled else (np.nan,) * 3
            out.append({
                **named, "zone": zone, "measure": measure, "mean": mean[k], "low": low[k], "high": high[k],
                "n": int(n[k]), "groups": people, "share": shares[z],
                "random": rival_mean[k] if measure in RELATIVE else np.nan,
                "over_random": apart[0], "over_random_low": apart[1], "over_random_high": apart[2],
                "note": few if n[k] else "undefined in every map",
            })  # fmt: skip
    return out


def _means(values: Array) -> Array:
    count = np.isfinite(values).sum(0)
    return np.where(count > 0, np.nansum(values, 0) / np.maximum(count, 1), np.nan)


def _bootstrapped(
    values: Array, groups: NDArray[np.int64], draws: Array
) -> tuple[Array, Array, Array, NDArray[np.int64], NDArray[np.int64]]:
    """Mean, interval, number of maps and of patients of every column of ``(maps, K)``; NaN is left out."""
    known = np.isfinite(values)
    size = draws.shape[1]
    total, count = np.zeros((size, values.shape[1])), np.zeros((size, values.shape[1]))
    np.add.at(total, groups, np.where(known, values, 0.0))
    np.add.at(count, groups, known.astype(float))
    drawn, people = draws @ count, (count > 0).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(drawn > 0, (draws @ total) / drawn, np.nan)
    low, high = (np.full(values.shape[1], np.nan) for _ in range(2))
    enough = people >= FEWEST
    if enough.any():
        low[enough], high[enough] = np.nanquantile(means[:, enough], [0.025, 0.975], axis=0)
    return _means(values), low, high, known.sum(0), people
