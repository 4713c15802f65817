"""Methods against each other and against the controls, with intervals over patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from pellucid.core.metric import METRICS
from pellucid.errors import UsageError
from pellucid.evaluate.cohort.blocks import ROUNDING, levels
from pellucid.evaluate.run import base_name

NEEDED = ("case", "method", "metric", "value")
FEWEST = 5  # patients: of fewer, all may lie on one side of chance by chance (of four, once in eight times)
COLUMNS = [
    "metric", "method", "mean", "low", "high", "n", "groups", "undefined", "direction", "rank", "difference",
    "difference_low", "difference_high", "better_than_random", "control", "p", "note",
]  # fmt: skip


def compare(
    scores: pd.DataFrame, *, group: str = "group", n_boot: int = 2000, seed: int = 0,
    controls: Sequence[str] = ("random", "edge"),
) -> pd.DataFrame:  # fmt: skip
    """Mean of every metric and method over the cases, with a 95 % bootstrap interval, ranks and paired tests.

    A case's value is the mean over its targets. The bootstrap draws groups (patients) with replacement, each with all
    of its cases; the same draws serve all methods, so differences are paired.

    Args:
        scores: long table: ``case``, ``group``, ``method``, ``metric``, ``value`` (NaN where undefined).
        group: column of what is drawn, normally the patient; every case its own if there is no such column.
        n_boot: draws.
        seed: of the draws.
        controls: methods that know nothing of the model; the first one is chance.

    Returns:
        One row per metric and method, by metric and rank: ``mean``; ``low``, ``high`` (95 %); ``n`` cases and
        ``groups`` behind it; ``undefined``, cases without a value; ``direction``; ``rank`` among all methods, 1 the
        best (by mean); ``difference`` from the first control with its interval; ``better_than_random``, whether that
        interval lies on the better side of zero (missing where there is no direction, no such control, no interval or
        fewer than 5 patients); ``control`` and ``p``: two-sided Wilcoxon signed-rank test over patients against the
        better of the controls, Holm-corrected over the methods of the metric; ``note``: why something is missing.

    Raises:
        UsageError: a column is missing, or ``n_boot`` is under 1.
    """
    missing = [c for c in NEEDED if c not in scores]
    if missing:
        raise UsageError(f"compare: the table has no column {', '.join(map(repr, missing))}")
    if n_boot < 1:
        raise UsageError(f"compare: n_boot is {n_boot}; give at least 1")
    if not len(scores):
        return pd.DataFrame(columns=COLUMNS)
    owner = scores[group].astype(str) if group in scores else scores["case"].astype(str)
    table = scores.assign(_group=owner)
    cases = table.groupby(["metric", "case", "_group", "method"], sort=False)["value"].mean().unstack("method")
    parts = []
    for metric, rows in cases.groupby(level="metric", sort=False):
        methods = sorted(table.loc[table["metric"] == metric, "method"].unique())
        parts.append(_one_metric(str(metric), rows[methods], n_boot, seed, controls))
    found = pd.concat(parts, ignore_index=True)
    return found.astype({"better_than_random": "boolean"})[COLUMNS]


def _one_metric(metric: str, rows: pd.DataFrame, n_boot: int, seed: int, controls: Sequence[str]) -> pd.DataFrame:
    """``rows``: one per case, one column per method."""
    values = rows.to_numpy(float)
    names = [str(c) for c in rows.columns]
    _, groups = np.unique(rows.index.get_level_values("_group"), return_inverse=True)
    many = groups.max() + 1
    draws = np.random.default_rng(seed).multinomial(many, np.full(many, 1 / many), size=n_boot).astype(float)
    base = base_name(metric)
    direction = METRICS[base].direction if base in METRICS else "none"
    sign = {"higher": 1.0, "lower": -1.0, "none": np.nan}[direction]
    mean = np.array([_mean(v) for v in values.T])
    found = []
    for j, name in enumerate(names):
        low, high, note = _interval(values[:, j], groups, draws)
        row: dict[str, Any] = {
            "metric": metric, "method": name, "mean": mean[j], "low": low, "high": high,
            "n": int(np.isfinite(values[:, j]).sum()), "groups": len(np.unique(groups[np.isfinite(values[:, j])])),
            "undefined": int(np.isnan(values[:, j]).sum()), "direction": direction, "note": note,
            "difference": np.nan, "difference_low": np.nan, "difference_high": np.nan, "better_than_random": None,
        }  # fmt: skip
        chance = controls[0] if controls else ""
        if chance in names and name != chance:
            gap = _gap(values[:, j], values[:, names.index(chance)])
            low, high, _ = _interval(gap, groups, draws)
            row |= {"difference": _mean(gap), "difference_low": low, "difference_high": high}
            both = len(np.unique(groups[np.isfinite(gap)]))
            if np.isfinite(low) and direction != "none" and both >= FEWEST:
                row["better_than_random"] = bool(low > 0 if sign > 0 else high < 0)
            elif np.isfinite(low) and direction != "none":
                row["note"] = note or f"{both} patients: too few to tell from chance"
        found.append(row)
    frame = pd.DataFrame(found).assign(control="", p=np.nan)
    places = pd.Series(levels(-sign * mean)).where(np.isfinite(sign * mean))
    frame["rank"] = places.rank(method="min")
    rivals = [j for j, n in enumerate(names) if n in controls and np.isfinite(mean[j])]
    if rivals and direction != "none":
        best = max(rivals, key=lambda j: sign * mean[j])
        tested = [j for j, n in enumerate(names) if n not in controls]
        p = np.array([_paired(_gap(values[:, j], values[:, best]), groups) for j in tested])
        frame.loc[tested, "p"] = holm(p)
        frame.loc[tested, "control"] = names[best]
    return frame.sort_values(["rank", "method"], kind="stable")


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _gap(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """``a − b``; 0 where they are the same but for rounding, of whose sign a test by ranks would make much."""
    return np.where(np.isclose(a, b, rtol=ROUNDING, atol=0), 0.0, a - b)


def _interval(
    values: NDArray[np.float64], groups: NDArray[np.int64], draws: NDArray[np.float64]
) -> tuple[float, float, str]:
    """95 % percentile interval of the mean over cases, groups drawn with replacement; NaN, and why."""
    known = np.isfinite(values)
    if not known.any():
        return np.nan, np.nan, "undefined in every case"
    if len(np.unique(groups[known])) < 2:
        return np.nan, np.nan, "one patient only: no interval"
    total = np.bincount(groups[known], values[known], minlength=draws.shape[1])
    count = np.bincount(groups[known], minlength=draws.shape[1])
    drawn = draws @ count
    usable = drawn > 0
    if usable.mean() < 0.5:
        return np.nan, np.nan, "defined for too few patients: no interval"
    low, high = np.quantile((draws @ total)[usable] / drawn[usable], [0.025, 0.975])
    return float(low), float(high), ""


def _paired(gap: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Wilcoxon signed-rank p of the mean difference of each patient; NaN with one patient."""
    known = np.isfinite(gap)
    ids = groups[known]
    if len(np.unique(ids)) < 2:
        return float("nan")
    per_group = np.bincount(ids, gap[known])[np.unique(ids)] / np.bincount(ids)[np.unique(ids)]
    if not per_group.any():
        return 1.0
    return float(wilcoxon(per_group).pvalue)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down correction; NaN stays NaN and is not counted. Source: holm1979simple."""
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    factor = len(order) - np.arange(len(order))
    out[order] = np.minimum(np.maximum.accumulate(p[order] * factor), 1.0)
    return out
