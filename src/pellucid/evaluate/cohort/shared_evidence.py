"""Which findings come together, are predicted together, and share their evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.core.statistics import FEWEST, Array, draws_of, interval, pearson_of_sums

Indices = NDArray[np.int64]
LABELS, LIFT, PREDICTIONS = "label_phi", "label_lift", "probability_correlation"
MAPS = ("map_correlation", "map_overlap", "zone_correlation", "zone_overlap")
COLUMNS = ["first", "second", "method", "measure", "value", "low", "high", "n", "groups", "note"]


def map_pairs(maps: Mapping[str, Array], zones: Mapping[str, NDArray[np.bool_]] | None = None) -> list[dict[str, Any]]:
    """How alike the maps of every two findings of one picture are.

    ``map_correlation`` is Pearson's over pixels, ``map_overlap`` ``Σ min(|A| / Σ|A|, |B| / Σ|B|)``: 1 where two maps
    lie alike, 0 where they lie apart, whatever their signs. ``zone_correlation`` is Pearson's of the means of ``A`` in
    the zones, the rest of the picture being one more (sums would follow the zones' sizes, of which the rest's is by far
    the largest); NaN of fewer than three. ``zone_overlap`` is that of the sums ``Σ|A|``.

    Args:
        maps: finding to its map, all of one shape, of one picture by one method.
        zones: name to bool mask of that shape; they should not overlap.

    Returns:
        Rows ``first, second, measure, value`` of every pair; NaN where a map is constant or empty.
    """
    names = list(maps)
    if len(names) < 2:
        return []
    flat = np.stack([np.asarray(maps[n], float).reshape(-1) for n in names])
    found = {"map_correlation": _correlation(flat), "map_overlap": _overlap(np.abs(flat))}
    if zones:
        inside = np.array([np.asarray(z, bool).reshape(-1) for z in zones.values()])
        rest = ~inside.any(0, keepdims=True)
        parts = np.concatenate([inside, rest])
        parts = parts[parts.any(1)].astype(float)
        enough = len(parts) >= 3
        means = flat @ (parts.T / parts.sum(1))
        found["zone_correlation"] = _correlation(means) if enough else np.full((len(names),) * 2, np.nan)
        found["zone_overlap"] = _overlap(np.abs(flat) @ parts.T)
    return [
        {"first": names[i], "second": names[j], "measure": m, "value": round(float(v[i, j]), 12)}
        for m, v in found.items() for i in range(len(names)) for j in range(i + 1, len(names))
    ]  # fmt: skip


def shared_evidence(
    outcomes: pd.DataFrame, pairs: pd.DataFrame, *, findings: Sequence[str], n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Every pair of findings: of labels, of predictions, of maps, each with a 95 % interval over patients.

    ``label_phi`` is the correlation of the two labels over the pictures, ``label_lift`` how many times as many pictures
    have both as if they were independent, ``probability_correlation`` Pearson's of the two probabilities. The measures
    of :func:`map_pairs` are means over the pictures in which both findings were explained.

    Args:
        outcomes: one row per picture and finding: ``case``, ``group``, ``target``, ``truth`` (0, 1, missing),
            ``probability``.
        pairs: one row per picture, method, pair and measure: ``case``, ``group``, ``method``, ``first``, ``second``,
            ``measure``, ``value``.
        findings: their order; the first of a pair stands before the second.
        n_boot, seed: of the draws of patients.

    Returns:
        ``first, second, method`` (empty for labels and predictions)``, measure, value, low, high, n`` (pictures)``,
        groups`` (patients)``, note``. Of fewer than 5 patients there is no interval.
    """
    rows: list[dict[str, Any]] = []
    if len(outcomes):
        rows += _of_answers(outcomes, findings, n_boot, seed)
    place = {f: i for i, f in enumerate(findings)}
    if len(pairs):
        table = pairs.assign(group=pairs["group"].where(pairs["group"].notna(), pairs["case"]).astype(str))
        keys = ["method", "first", "second", "measure"]
        for (method, first, second, measure), own in table.groupby(keys, sort=False):
            known = own[np.isfinite(own["value"].to_numpy(float))]
            a, b = sorted((str(first), str(second)), key=lambda f: place.get(f, len(place)))
            value, low, high, groups, note = _mean(known, n_boot, seed)
            rows.append({
                "first": a, "second": b, "method": method, "measure": measure, "value": value, "low": low, "high": high,
                "n": len(known), "groups": groups, "note": note,
            })  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_answers(outcomes: pd.DataFrame, findings: Sequence[str], n_boot: int, seed: int) -> list[dict[str, Any]]:
    """The rows of labels and of probabilities."""
    wide = {c: outcomes.pivot_table(index="case", columns="target", values=c, aggfunc="first", dropna=False)
            .reindex(columns=list(findings)) for c in ("truth", "probability")}  # fmt: skip
    owner = outcomes.drop_duplicates("case").set_index("case")["group"]
    rows: list[dict[str, Any]] = []
    asked = {"truth": {LABELS: pearson_of_sums, LIFT: _lift}, "probability": {PREDICTIONS: pearson_of_sums}}
    for column, measures in asked.items():
        values = wide[column].to_numpy(float)
        names = wide[column].index
        people = owner.reindex(names).where(owner.reindex(names).notna(), names.to_series()).astype(str)
        for i in range(len(findings)):
            for j in range(i + 1, len(findings)):
                known = np.isfinite(values[:, [i, j]]).all(1)
                _, groups = np.unique(people[known], return_inverse=True)
                for measure, how in measures.items():
                    value, low, high, note = _drawn(values[known, i], values[known, j], groups, how, n_boot, seed)
                    rows.append({
                        "first": findings[i], "second": findings[j], "method": "", "measure": measure, "value": value,
                        "low": low, "high": high, "n": int(known.sum()), "groups": int(groups.max() + 1) if len(groups)
                        else 0, "note": note,
                    })  # fmt: skip
    return rows


def _drawn(
    x: Array, y: Array, groups: Indices, how: Callable[[Array], Array], n_boot: int, seed: int
) -> tuple[float, float, float, str]:
    """A statistic of the sums ``n, Σx, Σy, Σxy, Σx², Σy²`` and its interval, patients drawn with all their pictures."""
    if not len(x):
        return np.nan, np.nan, np.nan, "no picture in which both are known"
    sums = np.stack([np.ones(len(x)), x, y, x * y, x * x, y * y], 1)
    value = float(how(sums.sum(0)[None])[0])
    if not np.isfinite(value):
        return value, np.nan, np.nan, "one of the two is the same in every picture"
    count = int(groups.max()) + 1
    if count < FEWEST:
        return value, np.nan, np.nan, _few(count)
    per = np.zeros((count, sums.shape[1]))
    np.add.at(per, groups, sums)
    drawn = how(draws_of(count, n_boot, seed) @ per)
    usable = np.isfinite(drawn)
    if usable.mean() < 0.5:
        return value, np.nan, np.nan, "defined for too few patients: no interval"
    low, high = np.quantile(drawn[usable], [0.025, 0.975])
    return value, float(low), float(high), ""


def _mean(known: pd.DataFrame, n_boot: int, seed: int) -> tuple[float, float, float, int, str]:
    if not len(known):
        return np.nan, np.nan, np.nan, 0, "undefined in every picture"
    values = known["value"].to_numpy(float)
    names, groups = np.unique(known["group"], return_inverse=True)
    if len(names) < FEWEST:
        return float(values.mean()), np.nan, np.nan, len(names), _few(len(names))
    low, high, why = interval(values, groups, draws_of(len(names), n_boot, seed))
    return float(values.mean()), low, high, len(names), why


def _few(count: int) -> str:
    return f"{count} patient{'s' * (count != 1)}: too few for an interval"


def _lift(sums: Array) -> Array:
    n, x, y, xy = sums.T[:4]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(x * y > 0, xy * n / (x * y), np.nan)


def _correlation(rows: Array) -> Array:
    """Pearson's correlations ``(T, T)`` of ``(T, P)``; NaN of a row of one value."""
    centred = rows - rows.mean(1, keepdims=True)
    size = np.linalg.norm(centred, axis=1)
    flat = size <= 1e-12 * np.maximum(np.linalg.norm(rows, axis=1), 1e-300)
    unit = centred / np.where(flat, 1, size)[:, None]
    found = np.clip(unit @ unit.T, -1, 1)
    found[flat] = np.nan
    found[:, flat] = np.nan
    return np.asarray(found)


def _overlap(rows: Array) -> Array:
    """``Σ min`` ``(T, T)`` of ``(T, P)`` magnitudes, each row brought to a sum of one; NaN of an empty row."""
    total = rows.sum(1, keepdims=True)
    share = rows / np.where(total > 0, total, np.nan)
    return np.stack([np.minimum(share, one).sum(1) for one in share])
