"""Global importance: where in the picture, or in which column of a table, a cohort's evidence lies, and how sure."""

from __future__ import annotations

from dataclasses import dataclass
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
    owner = table["group"].where(table["group"].notna(), table["case"]) if "group" in table else table["case"]
    people, place = np.unique(owner.astype(str), return_inverse=True)
    table["_place"] = place
    draws = draws_of(len(people), n_boot, seed)
    found: list[dict[str, Any]] = []
    for kind, own in table.groupby("kind", sort=False):
        rival = _Maps.of(own[own["method"] == control])
        for method, mine in own.groupby("method", sort=False):
            maps = _Maps.of(mine)
            beside = maps.matched(rival)
            indices = list(dict.fromkeys(maps.index.tolist()))
            for index in [*indices, *([-1] if len(indices) > 1 else [])]:
                inside = maps.index == index if index >= 0 else np.ones(len(maps.index), bool)
                target = str(maps.target[inside][0]) if index >= 0 else EVERY
                for outcome in (ALL, *OUTCOMES):
                    at = inside if outcome == ALL else inside & (maps.outcome == outcome)
                    if at.any():
                        named = {"method": method, "target_index": index, "target": target, "kind": kind,
                                 "outcome": outcome}  # fmt: skip
                        found += _of_zones(maps, beside, at, draws, named, apart=method != control)
    return pd.DataFrame(found, columns=COLUMNS)


@dataclass(frozen=True, eq=False)
class _Maps:
    """One method's maps: ``values`` ``(maps, zones, measures)``, NaN where a case has no such zone."""

    case: NDArray[Any]
    index: NDArray[np.int64]
    target: NDArray[Any]
    outcome: NDArray[Any]
    place: NDArray[np.int64]
    zones: tuple[str, ...]
    values: Array
    share: Array

    @staticmethod
    def of(rows: pd.DataFrame) -> _Maps:
        heads = rows.drop_duplicates(["case", "target_index"])
        order = {k: i for i, k in enumerate(zip(heads["case"], heads["target_index"], strict=True))}
        zones = {str(z): i for i, z in enumerate(dict.fromkeys(rows["zone"]))}
        values = np.full((len(heads), len(zones), len(MEASURES)), np.nan)
        share = np.full((len(heads), len(zones)), np.nan)
        i = np.array([order[k] for k in zip(rows["case"], rows["target_index"], strict=True)], dtype=int)
        j = np.array([zones[str(z)] for z in rows["zone"]], dtype=int)
        values[i, j] = rows[list(MEASURES)].to_numpy(float)
        if "share" in rows:
            share[i, j] = rows["share"].to_numpy(float)
        outcome = heads["outcome"].to_numpy(object) if "outcome" in heads else np.full(len(heads), None, object)
        return _Maps(
            heads["case"].to_numpy(), heads["target_index"].to_numpy(np.int64), heads["target"].to_numpy(), outcome,
            heads["_place"].to_numpy(np.int64), tuple(zones), values, share,
        )  # fmt: skip

    def matched(self, other: _Maps) -> Array:
        """The other's values of the same case, finding and zone, in this one's order."""
        found = np.full_like(self.values, np.nan)
        rows = {k: i for i, k in enumerate(zip(other.case.tolist(), other.index.tolist(), strict=True))}
        columns = {z: i for i, z in enumerate(other.zones)}
        for i, key in enumerate(zip(self.case.tolist(), self.index.tolist(), strict=True)):
            for j, zone in enumerate(self.zones):
                if key in rows and zone in columns:
                    found[i, j] = other.values[rows[key], columns[zone]]
        return found


def _of_zones(
    maps: _Maps, beside: Array, at: NDArray[np.bool_], draws: Array, named: dict[str, Any], *, apart: bool
) -> list[dict[str, Any]]:
    """The rows of all zones and measures of one subset of maps: one matrix product draws all of them anew."""
    own, rival = (v[at].reshape(int(at.sum()), -1) for v in (maps.values, beside))
    mean, low, high, n, groups = _bootstrapped(np.concatenate([own, own - rival], 1), maps.place[at], draws)
    half, rivals, share = own.shape[1], _means(rival), _means(maps.share[at])
    out = []
    for z, zone in enumerate(maps.zones):
        for m, measure in enumerate(MEASURES):
            k = z * len(MEASURES) + m
            people, relative = int(groups[k]), measure in RELATIVE
            few = f"{people} patient{'s' * (people != 1)}: too few for an interval" if people < FEWEST else ""
            gap = (mean[half + k], low[half + k], high[half + k]) if relative and apart else (np.nan,) * 3
            out.append({
                **named, "zone": zone, "measure": measure, "mean": mean[k], "low": low[k], "high": high[k],
                "n": int(n[k]), "groups": people, "share": share[z], "random": rivals[k] if relative else np.nan,
                "over_random": gap[0], "over_random_low": gap[1], "over_random_high": gap[2],
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
