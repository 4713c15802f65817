"""What changes between two cohorts: differences by target and region, with intervals and corrected tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, wilcoxon

from pellucid.aggregate.cohort.cube import Cube
from pellucid.core.statistics import FEWEST, Array, draws_of, holm
from pellucid.errors import InputError, UsageError

COLUMNS = [
    "target", "region", "mean_a", "mean_b", "difference", "low", "high", "p", "p_holm", "effect", "patients_a",
    "patients_b", "test", "note",
]  # fmt: skip


def what_changes(a: Cube, b: Cube, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Mean of the second cohort less that of the first, for every target and region that both have.

    A patient's value is the mean over their cases. Of two cohorts of different patients each is drawn anew by itself,
    the test is Mann–Whitney's, the effect Hedges' g. Where both hold the same patients (two models, two scanners), the
    patients' differences are drawn, the test is Wilcoxon's, and the effect is the mean difference over its standard
    deviation. p is corrected by Holm over all cells.

    Args:
        a, b: the cohorts, of the same measure.
        n_boot, seed: of the draws.

    Returns:
        ``target``, ``region``, ``mean_a``, ``mean_b``, ``difference``, ``low``, ``high`` (95 % bootstrap interval),
        ``p``, ``p_holm``, ``effect``, ``patients_a``, ``patients_b``, ``test``, ``note``. With fewer than 5 patients in
        a cohort a cell has neither interval nor p.

    Raises:
        UsageError: the cohorts share some patients, but not all; or differ in measure.
        InputError: no cell is in both.
    """
    if a.measure != b.measure:
        raise UsageError(f"the cohorts differ in measure: {a.measure} and {b.measure}; compare like with like")
    targets, regions = [t for t in a.targets if t in b.targets], [r for r in a.regions if r in b.regions]
    if not targets or not regions:
        raise InputError("the two cohorts have no target and region in common; are their classes named alike?")
    shared = set(a.patients) & set(b.patients)
    paired = shared == set(a.patients) == set(b.patients)
    if shared and not paired:
        raise UsageError(
            f"{len(shared)} patients are in both cohorts, others in one of them; give cohorts of different "
            "patients, or of the same"
        )
    rows: list[dict[str, Any]] = []
    for t in targets:
        for r in regions:
            x, y = (_by_patient(c.of(t)[:, c.regions.index(r)], c.groups, len(c.patients)) for c in (a, b))
            rows.append({"target": t, "region": r, **(_same if paired else _apart)(x, y, n_boot, seed)})
    found = pd.DataFrame(rows, columns=COLUMNS)
    found["p_holm"] = holm(found["p"].to_numpy(float))
    return found


def _by_patient(values: Array, groups: NDArray[np.int64], patients: int) -> Array:
    known = np.isfinite(values)
    count = np.bincount(groups[known], minlength=patients)
    with np.errstate(invalid="ignore"):
        return np.bincount(groups[known], values[known], minlength=patients) / count


def _apart(x: Array, y: Array, n_boot: int, seed: int) -> dict[str, Any]:
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    row = _row(x, y, "Mann–Whitney")
    if min(len(x), len(y)) < FEWEST:
        return row | {"note": f"{min(len(x), len(y))} patients in a cohort: too few for an interval or a test"}
    # Two seeds: with one, cohorts of the same size would be drawn in pairs, as their patients happen to be ordered.
    drawn = draws_of(len(y), n_boot, 2 * seed + 1) @ y / len(y) - draws_of(len(x), n_boot, 2 * seed) @ x / len(x)
    same = np.ptp(np.concatenate([x, y])) == 0
    spread = np.sqrt(((len(x) - 1) * x.var(ddof=1) + (len(y) - 1) * y.var(ddof=1)) / (len(x) + len(y) - 2))
    small = 1 - 3 / (4 * (len(x) + len(y)) - 9)
    p = 1.0 if same else float(mannwhitneyu(x, y, alternative="two-sided").pvalue)
    return row | _tested(drawn, p, small * row["difference"], float(spread))


def _same(x: Array, y: Array, n_boot: int, seed: int) -> dict[str, Any]:
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    row = _row(x, y, "Wilcoxon")
    if len(x) < FEWEST:
        return row | {"note": f"{len(x)} patients with both: too few for an interval or a test"}
    gap = y - x
    drawn = draws_of(len(gap), n_boot, seed) @ gap / len(gap)
    p = float(wilcoxon(gap).pvalue) if gap.any() else 1.0
    return row | _tested(drawn, p, row["difference"], float(gap.std(ddof=1)))


def _row(x: Array, y: Array, test: str) -> dict[str, Any]:
    a, b = (float(v.mean()) if len(v) else float("nan") for v in (x, y))
    return {
        "mean_a": a, "mean_b": b, "difference": b - a, "low": np.nan, "high": np.nan, "p": np.nan, "effect": np.nan,
        "patients_a": len(x), "patients_b": len(y), "test": test, "note": "",
    }  # fmt: skip


def _tested(drawn: Array, p: float, size: float, spread: float) -> dict[str, Any]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"low": float(low), "high": float(high), "p": p, "effect": size / spread if spread > 0 else float("nan")}


def parts_of(table: pd.DataFrame, column: str) -> tuple[tuple[str, pd.DataFrame], tuple[str, pd.DataFrame]]:
    """The two cohorts of a table by a column of two values, such as sex, in the order of their names.

    Raises:
        UsageError: no such column, or other than two values in it.
    """
    if column not in table:
        raise UsageError(f"no column {column!r} to split the cohort by; there are {', '.join(map(str, table.columns))}")
    levels = sorted(str(v) for v in table[column].dropna().unique())
    if len(levels) != 2:
        said = ", ".join(levels[:6]) or "none"
        raise UsageError(f"column {column!r} has {len(levels)} values ({said}), two are needed to compare two cohorts")
    words = table[column].map(str).where(table[column].notna())
    first, second = ((level, table[words == level]) for level in levels)
    return first, second
