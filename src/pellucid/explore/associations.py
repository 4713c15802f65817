"""What goes with a class and is not the class: a way for a network to be right for the wrong reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, f_oneway, fisher_exact, pearsonr, spearmanr

from pellucid.core.statistics import FEWEST, draws_of, holm, pearson_of_sums, spearman
from pellucid.explore.cohort import Cohort
from pellucid.explore.draws import N_BOOT, one_each, patient_interval
from pellucid.explore.people import levels_of

Array = NDArray[np.float64]
RANKED = 1000  # cases of which ranks are drawn anew; more take a minute
COLUMNS = [
    "class", "column", "source", "measure", "value", "low", "high", "p", "p_holm", "found", "n", "patients", "level",
    "with", "without", "difference", "difference_low", "difference_high", "note",
]  # fmt: skip


def associations(
    cohort: Cohort, columns: Mapping[str, str], *, pictures: Mapping[str, Array] | None = None,
    regions: Mapping[str, Array] | None = None, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """How strongly each column goes with each class, or with the score, the strongest first.

    A class and levels: Cramér's V (0 to 1), and the level whose share differs most with and without the class. A class
    and a number: the point-biserial correlation, and the means with and without. A score and levels: η, the root of
    the share of variance between the levels. A score and a number: Spearman's ρ. Intervals draw patients with
    replacement; V and η are never under zero, so theirs cannot say "none": the p value does. p is of one case of each
    patient (chi-squared, Fisher's exact test of 2 × 2, Pearson, F, Spearman), Holm-corrected over all rows. ``found``:
    p is under 0.05, and the interval of a correlation excludes zero.

    Args:
        cohort: the cases.
        columns: of ``meta``, each a ``number`` or of ``levels``.
        pictures: further numbers of the cases by name, such as the mean grey; NaN where not looked at.
        regions: the same of the regions, such as where one lies; NaN where it is not.
        seed: of the draws.
    """
    told: list[tuple[str, str, str, pd.Series]] = [(c, "meta", kind, cohort.meta[c]) for c, kind in columns.items()]
    for source, numbers in (("picture", pictures or {}), ("region", regions or {})):
        told += [(c, source, "number", pd.Series(v)) for c, v in numbers.items()]
    rows = []
    for column, source, kind, values in told:
        base = {"column": column, "source": source}
        if cohort.kind == "score":
            for k, name in enumerate(cohort.classes):
                way = _score_levels if kind == "levels" else _score_number
                rows.append(base | {"class": name} | way(values, cohort.scores[:, k], cohort.patients, seed))
            continue
        for k in cohort.contrasts:
            y = cohort.has[:, k]
            both = values.notna().to_numpy() & np.isfinite(y)
            if len(set(y[both])) < 2 or values[both].nunique() < 2:
                continue  # no case with it, none without, or the same in all: nothing to compare
            way = _class_levels if kind == "levels" else _class_number
            rows.append(base | {"class": cohort.classes[k]} | way(values, y, cohort.patients, seed))
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    table["p_holm"] = holm(table["p"].to_numpy(float))
    # p is of one case of each patient, the interval of all: both have to say so. V and η are never under zero.
    clear = (table["low"] > 0) | (table["high"] < 0) | table["measure"].isin(["cramer_v", "eta"])
    table["found"] = (table["p_holm"] < 0.05) & clear
    order = table["value"].astype(float).abs().sort_values(ascending=False, kind="stable", na_position="last").index
    return table.loc[order].reset_index(drop=True)


def _class_levels(values: pd.Series, y: Array, patients: NDArray[np.int64], seed: int) -> dict[str, Any]:
    rows, levels = values.notna().to_numpy() & np.isfinite(y), levels_of(values)
    x, y, who = values[rows].astype(str).to_numpy(), y[rows], patients[rows]
    hot = (x[:, None] == np.array(levels)).astype(float)
    sums = np.concatenate([hot * y[:, None], hot * (1 - y)[:, None]], axis=1)
    shares = lambda s: s / np.maximum(s.sum(1, keepdims=True), 1)  # noqa: E731
    k = len(levels)
    # Strength and differences from the same draws.
    both = lambda s: np.concatenate([_cramer(s)[:, None], shares(s[:, :k]) - shares(s[:, k:])], 1)  # noqa: E731
    v, *apart = both(sums.sum(0, keepdims=True))[0]
    difference = np.array(apart)
    place = int(np.abs(difference).argmax())
    low, high = patient_interval(sums, who, both, seed=seed)
    alone = one_each(who, np.ones(len(who), bool), seed)
    table = np.stack([hot[alone][y[alone] == u].sum(0) for u in (1, 0)])
    table = table[:, table.sum(0) > 0]
    note = ""
    if min(table.shape) < 2 or (table.sum(1) == 0).any():
        p, note = np.nan, "one level alone among one case of each patient"
    elif table.shape == (2, 2):
        p = float(fisher_exact(table)[1])
    else:
        found = chi2_contingency(table, correction=False)
        p = float(found.pvalue)
        note = "fewer than 5 cases expected in a cell" if (found.expected_freq < 5).any() else ""
    have, lack = shares(sums[:, :k].sum(0, keepdims=True))[0], shares(sums[:, k:].sum(0, keepdims=True))[0]
    return {
        "measure": "cramer_v", "value": float(v), "low": float(low[0]), "high": float(high[0]), "p": p, "n": len(x),
        "patients": len(np.unique(who)), "level": levels[place], "with": float(have[place]),
        "without": float(lack[place]), "difference": float(difference[place]),
        "difference_low": float(low[1 + place]), "difference_high": float(high[1 + place]), "note": note,
    }  # fmt: skip


def _cramer(sums: Array) -> Array:
    """Cramér's V of 2 × L tables, ``(B, 2 L)`` to ``(B,)``. Levels that a draw lacks add nothing."""
    table = sums.reshape(len(sums), 2, -1)
    n = table.sum((1, 2), keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = table.sum(1, keepdims=True) * table.sum(2, keepdims=True) / n
        chi2 = np.where(expected > 0, (table - expected) ** 2 / expected, 0.0).sum((1, 2))
        usable = (table.sum(2) > 0).all(1) & ((table.sum(1) > 0).sum(1) > 1)
        return np.where(usable, np.sqrt(chi2 / n[:, 0, 0]), np.nan)


def _class_number(values: pd.Series, y: Array, patients: NDArray[np.int64], seed: int) -> dict[str, Any]:
    x, y, who = _both(values, y, patients)
    sums = _moments(x, y)
    value = float(pearson_of_sums(sums[:, :6].sum(0, keepdims=True))[0])
    low, high = patient_interval(sums, who, lambda s: np.stack([pearson_of_sums(s[:, :6]), _apart(s)], 1), seed=seed)
    alone = one_each(who, np.ones(len(who), bool), seed)
    p = _p(pearsonr, x[alone], y[alone])
    have, lack = (float(x[y == u].mean()) for u in (1, 0))
    return {
        "measure": "point_biserial", "value": value, "low": float(low[0]), "high": float(high[0]), "p": p, "n": len(x),
        "patients": len(np.unique(who)), "level": "", "with": have, "without": lack, "difference": have - lack,
        "difference_low": float(low[1]), "difference_high": float(high[1]), "note": "",
    }  # fmt: skip


def _score_number(values: pd.Series, y: Array, patients: NDArray[np.int64], seed: int) -> dict[str, Any]:
    x, y, who = _both(values, y, patients)
    alone = one_each(who, np.ones(len(who), bool), seed)
    p, note = _p(spearmanr, x[alone], y[alone]), ""
    value = float(spearmanr(x, y)[0]) if len(set(x)) > 1 and len(set(y)) > 1 else np.nan
    low = high = np.nan
    few = alone[:RANKED]
    if len(few) >= FEWEST:  # one case of each patient: drawing cases is drawing patients
        drawn = spearman(x[few], y[few], draws_of(len(few), N_BOOT, seed))
        if np.isfinite(drawn).mean() >= 0.5:
            low, high = (float(e) for e in np.nanquantile(drawn, [0.025, 0.975]))
        if len(few) < len(x):
            note = f"interval from one case of each of {len(few)} patients"
    return {
        "measure": "spearman", "value": value, "low": low, "high": high, "p": p, "n": len(x),
        "patients": len(np.unique(who)), "level": "", "note": note,
    }  # fmt: skip


def _score_levels(values: pd.Series, y: Array, patients: NDArray[np.int64], seed: int) -> dict[str, Any]:
    rows, levels = values.notna().to_numpy() & np.isfinite(y), levels_of(values)
    x, y, who = values[rows].astype(str).to_numpy(), y[rows], patients[rows]
    hot = (x[:, None] == np.array(levels)).astype(float)
    middle = y - y.mean()  # sums of squares about zero would lose digits
    sums = np.concatenate([hot, hot * middle[:, None], (middle**2)[:, None]], axis=1)
    value = float(_eta(sums.sum(0, keepdims=True))[0])
    low, high = (float(e) for e in patient_interval(sums, who, _eta, seed=seed))
    alone = one_each(who, np.ones(len(who), bool), seed)
    groups = [y[alone][x[alone] == level] for level in levels]
    groups = [g for g in groups if len(g) > 1]
    p = float(f_oneway(*groups).pvalue) if len(groups) > 1 else np.nan
    means = [float(y[x == level].mean()) if (x == level).any() else np.nan for level in levels]
    place = int(np.nanargmax(np.abs(np.array(means) - y.mean())))
    return {
        "measure": "eta", "value": value, "low": low, "high": high, "p": p, "n": len(x),
        "patients": len(np.unique(who)), "level": levels[place], "with": means[place],
        "without": float(y[x != levels[place]].mean()) if (x != levels[place]).any() else np.nan, "note": "",
    }  # fmt: skip


def _eta(sums: Array) -> Array:
    """The correlation ratio from ``(B, 2 L + 1)``: counts and sums by level, and the sum of squares."""
    k = (sums.shape[1] - 1) // 2
    n, s, squares = sums[:, :k], sums[:, k : 2 * k], sums[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = s.sum(1) ** 2 / n.sum(1)
        between = np.where(n > 0, s**2 / n, 0.0).sum(1) - middle
        total = squares - middle
        return np.where(total > 1e-12, np.sqrt(np.clip(between / total, 0, 1)), np.nan)


def _both(values: pd.Series, y: Array, patients: NDArray[np.int64]) -> tuple[Array, Array, NDArray[np.int64]]:
    numbers = values.to_numpy(float, na_value=np.nan)
    rows = np.isfinite(numbers) & np.isfinite(y)
    return numbers[rows], y[rows], patients[rows]


def _moments(x: Array, y: Array) -> Array:
    """What a correlation and two means are made of, about the means so that no digit is lost."""
    a, b = x - x.mean(), y - y.mean()
    return np.stack([np.ones(len(x)), a, b, a * b, a * a, b * b, y, a * y], axis=1)


def _apart(s: Array) -> Array:
    """Mean of x with the class less that without; NaN where a draw lacks one."""
    n, k = s[:, 0], s[:, 6]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((k > 0) & (k < n), s[:, 7] / k - (s[:, 1] - s[:, 7]) / (n - k), np.nan)


def _p(test: Any, x: Array, y: Array) -> float:
    if len(x) < 4 or len(set(x)) < 2 or len(set(y)) < 2:
        return float("nan")
    return float(test(x, y)[1])
