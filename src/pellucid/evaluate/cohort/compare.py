"""Methods against each other and against the controls, with intervals over patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pellucid.core.metric import METRICS
from pellucid.core.refiner import as_refined, base_of, is_refined
from pellucid.core.statistics import FEWEST, Array, draws_of, holm, interval
from pellucid.core.statistics import mean as mean_of
from pellucid.errors import UsageError
from pellucid.evaluate.cohort.blocks import levels
from pellucid.evaluate.cohort.intervals import gap, signed_rank
from pellucid.evaluate.run import base_name

NEEDED = ("case", "method", "metric", "value")
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
        controls: methods that know nothing of the model; the first one is chance. A refined map is compared with
            the controls refined in the same way (``segx(grad_cam)`` with ``segx(random)``), and with no other.

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
    draws = draws_of(int(groups.max()) + 1, n_boot, seed)
    base = base_name(metric)
    direction = METRICS[base].direction if base in METRICS else "none"
    sign = {"higher": 1.0, "lower": -1.0, "none": np.nan}[direction]
    mean = np.array([mean_of(v) for v in values.T])
    found = []
    for j, name in enumerate(names):
        low, high, note = interval(values[:, j], groups, draws)
        row: dict[str, Any] = {
            "metric": metric, "method": name, "mean": mean[j], "low": low, "high": high,
            "n": int(np.isfinite(values[:, j]).sum()), "groups": len(np.unique(groups[np.isfinite(values[:, j])])),
            "undefined": int(np.isnan(values[:, j]).sum()), "direction": direction, "note": note,
            "difference": np.nan, "difference_low": np.nan, "difference_high": np.nan, "better_than_random": None,
        }  # fmt: skip
        chance = as_refined(name, controls[0]) if controls else ""
        if is_refined(name) and chance not in names:
            row["note"] = note or f"there is no {chance} to compare it with"
        if chance in names and name != chance:
            gaps = gap(values[:, j], values[:, names.index(chance)])
            low, high, _ = interval(gaps, groups, draws)
            row |= {"difference": mean_of(gaps), "difference_low": low, "difference_high": high}
            both = len(np.unique(groups[np.isfinite(gaps)]))
            if np.isfinite(low) and direction != "none" and both >= FEWEST:
                row["better_than_random"] = bool(low > 0 if sign > 0 else high < 0)
            elif np.isfinite(low) and direction != "none":
                row["note"] = note or f"{both} patients: too few to tell from chance"
        found.append(row)
    frame = pd.DataFrame(found).assign(control="", p=np.nan)
    places = pd.Series(levels(-sign * mean)).where(np.isfinite(sign * mean))
    frame["rank"] = places.rank(method="min")
    if direction != "none":
        for j, best in _rivals(names, sign * mean, controls).items():
            frame.loc[j, "p"] = signed_rank(gap(values[:, j], values[:, best]), groups)
            frame.loc[j, "control"] = names[best]
        frame["p"] = holm(frame["p"].to_numpy(float))
    return frame.sort_values(["rank", "method"], kind="stable")


def _rivals(names: Sequence[str], good: Array, controls: Sequence[str]) -> dict[int, int]:
    """The place of each method that is no control to that of the best control that was refined as it is."""
    found = {}
    for j, name in enumerate(names):
        known = [names.index(c) for c in (as_refined(name, c) for c in controls) if c in names]
        known = [i for i in known if np.isfinite(good[i])]
        if known and base_of(name) not in controls:
            found[j] = max(known, key=lambda i: float(good[i]))
    return found
