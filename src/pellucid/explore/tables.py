"""Tabular inputs: each feature by class, how far the classes are apart in it, and which features go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from pellucid.core.case import Case
from pellucid.explore.cohort import Cohort
from pellucid.explore.draws import patient_interval

QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
DRAWN = 16  # features of which violins and correlations are kept: those in which the classes differ most

Array = NDArray[np.float64]


def table_values(
    cases: Sequence[Case], name: str, given: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[str], Array]:
    """Names of a table's columns and its values ``(n, F)``; NaN in the rows of cases without it, or of another length.

    Names are those given, else the first case's ``meta["features"]``, else their numbers.
    """
    width = max((len(c.inputs[name]) for c in cases if name in c.inputs), default=0)
    values = np.full((len(cases), width), np.nan)
    known: Sequence[str] = (given or {}).get(name) or ()
    for row, case in enumerate(cases):
        if name in case.inputs and name not in case.missing and len(case.inputs[name]) == width:
            values[row] = case.inputs[name].numpy()
            known = known or dict(case.meta.get("features") or {}).get(name) or ()
    names = [str(k) for k in known] if len(known) == width else [f"{name}[{k}]" for k in range(width)]
    return names, values


def features(
    names: Sequence[str], values: Array, cohort: Cohort, *, table: str, only: Sequence[str] = (), seed: int = 0
) -> pd.DataFrame:
    """Every feature by class.

    ``smd`` is the standardised mean difference of the class to the other cases with a known truth: the difference
    of the means over the root of the mean of both variances; its interval draws patients with replacement.

    Returns:
        ``table, feature, class, cases, patients, missing, mean, sd, q05 … q95, constant, smd, low, high``.
    """
    rows: list[dict[str, Any]] = []
    patients, groups = cohort.patients, cohort.groups(only)
    for k, feature in enumerate(names):
        x = values[:, k]
        there = np.isfinite(x)
        constant = bool(there.any() and x[there].min() == x[there].max())
        for name, inside in groups.items():
            own = x[inside & there]
            row = {
                "table": table, "feature": feature, "class": name, "cases": len(own),
                "patients": len(np.unique(patients[inside & there])), "missing": int((inside & ~there).sum()),
                "mean": own.mean() if len(own) else np.nan, "sd": own.std(ddof=1) if len(own) > 1 else np.nan,
                **{q: np.quantile(own, at) if len(own) else np.nan for q, at in QUANTILES.items()},
                "constant": constant, "smd": np.nan, "low": np.nan, "high": np.nan,
            }  # fmt: skip
            of = there & cohort.known
            if len(groups) > 1 and (inside & of).sum() > 1 and (~inside & of).sum() > 1 and not constant:
                sums = _sums(x[of], inside[of])
                row["smd"] = float(_smd(sums.sum(0, keepdims=True))[0])
                row["low"], row["high"] = (float(v) for v in patient_interval(sums, patients[of], _smd, seed=seed))
            rows.append(row)
    return pd.DataFrame(rows)


def _sums(x: Array, inside: NDArray[np.bool_]) -> Array:
    centred = x - x.mean()
    parts = [np.stack([m, m * centred, m * centred**2], 1) for m in (inside.astype(float), (~inside).astype(float))]
    return np.concatenate(parts, 1)


def _smd(s: Array) -> Array:
    """From ``(B, 6)``: count, sum and sum of squares of either side."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = s[:, [1, 4]] / s[:, [0, 3]]
        variances = (s[:, [2, 5]] - s[:, [0, 3]] * means**2) / (s[:, [0, 3]] - 1)
        pooled = np.sqrt(np.clip(variances.mean(1), 0, None))
        usable = (s[:, [0, 3]] > 1).all(1) & (pooled > 1e-12)
        return np.where(usable, (means[:, 0] - means[:, 1]) / pooled, np.nan)


def most_apart(table: pd.DataFrame, most: int = DRAWN) -> list[str]:
    """The features in which the classes differ most, in the table's own order; those that are constant last."""
    size = table.assign(size=table["smd"].abs().fillna(-1.0) - 2.0 * table["constant"])
    first = size.groupby("feature", sort=False)["size"].max().sort_values(ascending=False, kind="stable").index[:most]
    return [f for f in dict.fromkeys(table["feature"]) if f in set(first)]


def correlations(
    names: Sequence[str], values: Array, cohort: Cohort, *, table: str, only: Sequence[str] = ()
) -> pd.DataFrame:
    """Spearman's ρ of every pair of features, by class and over all cases.

    The interval is that of Bonett and Wright (2000) with the number of patients in place of the number of cases, which
    are not independent. Source: bonett2000sample.

    Returns:
        ``table, class, a, b, rho, low, high, cases, patients``; NaN where a feature is constant.
    """
    rows = []
    everyone = {"all cases": np.ones(len(cohort), bool)}
    for name, inside in (everyone | cohort.groups(only)).items():
        own = inside & np.isfinite(values).all(1)
        n, patients = int(own.sum()), len(np.unique(cohort.patients[own]))
        ranks = rankdata(values[own], axis=0) if n else np.zeros((0, len(names)))
        centred = ranks - ranks.mean(0) if n else ranks
        norm = np.sqrt((centred**2).sum(0))
        for i in range(len(names)):
            for j in range(i + 1, len(names)):
                size = norm[i] * norm[j]
                rho = float(centred[:, i] @ centred[:, j] / size) if n > 2 and size > 0 else np.nan
                low, high = _bonett(rho, patients)
                rows.append({
                    "table": table, "class": name, "a": names[i], "b": names[j], "rho": rho, "low": low, "high": high,
                    "cases": n, "patients": patients,
                })  # fmt: skip
    return pd.DataFrame(rows)


def _bonett(rho: float, n: int) -> tuple[float, float]:
    if not np.isfinite(rho) or n < 5 or abs(rho) >= 1:
        return np.nan, np.nan
    half = 1.959963984540054 * np.sqrt((1 + rho**2 / 2) / (n - 3))
    return float(np.tanh(np.arctanh(rho) - half)), float(np.tanh(np.arctanh(rho) + half))
