"""CheXlocalize's mIoU: the threshold of each finding chosen on other patients, then the mean over cases.

Saporta et al. 2022 choose the threshold of each finding on validation cases. Where there are none, the cases are dealt
into folds by patient and each fold's threshold is chosen on the other folds, so that no case has a say in its own.
Source: saporta2022benchmarking. Its hit rate is the mean of ``pointing_game``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.core.statistics import draws_of, interval
from pellucid.errors import UsageError
from pellucid.evaluate.cohort.strata import COLUMNS as STRATA
from pellucid.evaluate.cohort.strata import strata

NEEDED = ("case", "method", "metric", "part", "position", "value")
METRIC, TUNED, ALL = "iou_over_thresholds", "iou_tuned", "all"
CASES = ["case", "group", "method", "finding", "metric", "value", "threshold", "share", "note"]
FINDINGS = ["method", "finding", "miou", "low", "high", "n", "groups", "threshold", "note"]

Array = NDArray[np.float64]


class TunedIou(NamedTuple):
    """What :func:`tuned_iou` gives.

    Attributes:
        cases: one row per case, method and finding: ``value``, its intersection over union at the ``threshold`` that
            other patients chose; ``share``, the region's of the picture; ``note``, why there is no value. With
            ``metric`` it is a long score table, as :func:`~pellucid.evaluate.cohort.compare.compare` takes it.
        findings: one row per method and finding, and for ``all`` of them where there are several: ``miou`` over the
            cases with its 95 % bootstrap interval ``low`` and ``high`` by patient (the thresholds taken as given),
            ``n`` cases, ``groups`` patients, ``threshold`` (the mean over cases).
        strata: the same within thirds of the region's size and of the model's confidence, as
            :func:`~pellucid.evaluate.cohort.strata.strata` gives it.
    """

    cases: pd.DataFrame
    findings: pd.DataFrame
    strata: pd.DataFrame


def tuned_iou(
    details: pd.DataFrame, *, by: str = "target", group: str = "group", folds: int = 5, seed: int = 0,
    n_boot: int = 1000, validation: pd.DataFrame | None = None, facts: pd.DataFrame | None = None,
    metric: str = METRIC,
) -> TunedIou:  # fmt: skip
    """Intersection over union with the threshold of each finding and method chosen on other patients.

    Args:
        details: the table of parts that ``iou_over_thresholds`` leaves: ``case``, ``group``, ``method``, ``metric``,
            ``part``, ``position`` (the threshold), ``value``, and the column ``by``.
        by: what has a threshold of its own, normally the finding.
        group: column of the patients; every case its own if there is no such column.
        folds: into which the patients of a finding are dealt; at most their number.
        seed: of the deal and of the bootstrap.
        n_boot: draws.
        validation: such a table of other patients; all thresholds are then chosen on it, and there are no folds.
        facts: one row per case, ``case`` with ``confidence`` and, in place of the region's share of the picture,
            ``region_size`` (and ``region_unit``); other strata as they are named there.
        metric: its label in the table, where it was asked for with options.

    Raises:
        UsageError: a column is missing, fewer than two folds, ``n_boot`` under 1, no such metric, other thresholds in
            the validation table, or a patient of it who is also in ``details``.
    """
    if folds < 2:
        raise UsageError(f"tuned_iou: folds is {folds}; give at least 2, so that no case chooses its own threshold")
    if n_boot < 1:
        raise UsageError(f"tuned_iou: n_boot is {n_boot}; give at least 1")
    curves, share, grid = _curves(details, by, group, metric)
    known = None
    if validation is not None:
        known, _, other = _curves(validation, by, group, metric)
        if len(grid) != len(other) or not np.allclose(grid, other):
            raise UsageError("tuned_iou: the validation cases were scored at other thresholds; use the same count")
        both = set(_level(curves, "_group")) & set(_level(known, "_group"))
        if both:
            raise UsageError(f"tuned_iou: {len(both)} patients are among the validation cases too; leave them out")
    parts = [
        _one_finding(rows, None if known is None else known[_level(known, "finding") == finding], grid, folds, seed)
        for finding, rows in curves.groupby(level="finding", sort=False)
    ]
    cases = pd.concat(parts).assign(metric=TUNED, share=share).reset_index().rename(columns={"_group": "group"})[CASES]
    return TunedIou(cases, _findings(cases, n_boot, seed), _strata(cases, facts, n_boot, seed))


def _curves(details: pd.DataFrame, by: str, group: str, metric: str) -> tuple[pd.DataFrame, pd.Series, Array]:
    """One row per method, finding, patient and case, one column per threshold; the region's share; the thresholds."""
    missing = [c for c in (*NEEDED, by) if c not in details]
    if missing:
        raise UsageError(f"tuned_iou: the table has no column {', '.join(map(repr, missing))}")
    table = details[details["metric"] == metric]
    if not len(table):
        raise UsageError(f"tuned_iou: the table has no parts of {metric!r}; evaluate with that metric")
    owner = table[group].where(table[group].notna(), table["case"]) if group in table else table["case"]
    table = table.assign(_group=owner.astype(str), finding=table[by].astype(str), case=table["case"].astype(str))
    index = ["method", "finding", "_group", "case"]
    ious, shares = table[table["part"] == "iou"], table[table["part"] == "share"]
    curves = ious.pivot_table(index=index, columns="position", values="value", aggfunc="mean", sort=False)
    curves = curves.sort_index(axis=1)
    return curves, shares.groupby(index, sort=False)["value"].mean(), curves.columns.to_numpy(float)


def _one_finding(
    rows: pd.DataFrame, known: pd.DataFrame | None, grid: Array, folds: int, seed: int
) -> pd.DataFrame:
    """Threshold and value of every row; all methods have the same folds."""
    patients, place = np.unique(_level(rows, "_group"), return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(len(patients)) % min(folds, max(len(patients), 2))
    out = pd.DataFrame({"value": np.nan, "threshold": np.nan, "note": ""}, index=rows.index)
    values, methods = rows.to_numpy(float), _level(rows, "method")
    for method in dict.fromkeys(methods):
        mine = methods == method
        if known is not None:
            choices = [(mine, known[_level(known, "method") == method].to_numpy(float))]
        else:
            fold = dealt[place]
            choices = [(mine & (fold == k), values[mine & (fold != k)]) for k in range(dealt.max() + 1)]
        for tested, others in choices:
            if not tested.any():
                continue
            if not len(others):
                out.loc[tested, "note"] = "no other patient's case with this finding to choose the threshold on"
                continue
            best = int(np.argmax(others.mean(0)))  # the lowest of those that tie, as in CheXlocalize
            out.loc[tested, "threshold"] = grid[best]
            out.loc[tested, "value"] = values[tested, best]
    return out


def _level(table: pd.DataFrame, name: str) -> NDArray[Any]:
    return np.asarray(table.index.get_level_values(name), dtype=object)


def _findings(cases: pd.DataFrame, n_boot: int, seed: int) -> pd.DataFrame:
    rows = []
    several = cases["finding"].nunique() > 1
    for method, mine in cases.groupby("method", sort=False):
        parts = [(str(f), part) for f, part in mine.groupby("finding", sort=False)]
        for finding, part in [*parts, *([(ALL, mine)] if several else [])]:
            there = part[part["value"].notna()]
            values, owners = there["value"].to_numpy(float), there["group"].to_numpy()
            names, place = np.unique(owners, return_inverse=True)
            low, high, note = np.nan, np.nan, ""
            if len(names):
                low, high, note = interval(values, place, draws_of(len(names), n_boot, seed))
            rows.append({
                "method": method, "finding": finding, "miou": values.mean() if len(values) else np.nan, "low": low,
                "high": high, "n": len(values), "groups": len(set(owners)),
                "threshold": there["threshold"].mean() if len(values) else np.nan,
                "note": note or next((n for n in part["note"] if n), ""),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=FINDINGS)


def _strata(cases: pd.DataFrame, facts: pd.DataFrame | None, n_boot: int, seed: int) -> pd.DataFrame:
    known = cases[cases["value"].notna()]
    if not len(known):
        return pd.DataFrame(columns=STRATA)
    size = known.groupby("case", sort=False)["share"].mean().rename("region_size").reset_index()
    size["region_unit"] = "of the picture"
    if facts is not None:
        given = facts.assign(case=facts["case"].astype(str)).drop_duplicates("case")
        size = given if "region_size" in given else size.merge(given, on="case", how="left")
    return strata(known, size, n_boot=n_boot, seed=seed)
