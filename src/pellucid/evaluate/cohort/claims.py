"""Clinical claims about maps, tested: numbers with intervals over patients, and verdicts by a rule that is fixed here.

The rule. A statement says that a number lies above a value (``direction`` ``"more"``) or below it (``"less"``). It

- ``holds`` where the 95 % interval of the difference from that value lies wholly on the stated side, the two-sided p is
  under 0.05 after Holm's correction, and, where a random map has to be beaten, the interval of the paired difference
  from the random map's number lies on that side as well;
- ``does not hold`` where the interval lies wholly on the other side, and p is under 0.05 after the correction;
- is ``not settled`` else;
- is ``not testable`` where something is missing, or fewer than 5 patients are left; ``note`` says what.

The correction goes over the family: the findings and methods of one claim, statement, measure, kind of cases and
region, without controls; rows of all findings together (``"all"``) are a family of their own, controls another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta, t

from pellucid.core.statistics import FEWEST, Array, draws_of, holm, wilson

MAPS = [
    "case", "group", "method", "target_index", "target", "other", "outcome", "confidence", "region", "measure", "value",
    "note",
]  # fmt: skip
COLUMNS = [
    "claim", "finding", "method", "statement", "measure", "cases", "region", "direction", "value", "low", "high",
    "against", "difference", "difference_low", "difference_high", "p", "p_holm", "n", "groups", "control_value",
    "over_control", "over_control_low", "over_control_high", "verdict", "note",
]  # fmt: skip
FAMILY = ["claim", "statement", "measure", "cases", "region"]
HOLDS, FAILS, OPEN, MISSING = "holds", "does not hold", "not settled", "not testable"
ALL, RANDOM, CONTROLS = "all", "random", ("random", "edge")
LEVEL = 0.05
Row = dict[str, Any]


class Sample:
    """Cases with their patients, and how often each case counts in every draw of patients; row 0 is all of them once.

    Args:
        owners: the patient of each case.
        n_boot: draws.
        seed: of the draws.
    """

    def __init__(self, owners: Sequence[str] | NDArray[Any], *, n_boot: int, seed: int) -> None:
        names, place = np.unique(np.asarray(owners, dtype=str), return_inverse=True)
        self.n, self.groups, self.place = len(place), len(names), place
        drawn = draws_of(len(names), n_boot, seed)[:, place] if len(names) else np.zeros((n_boot, 0))
        self.weights = np.concatenate([np.ones((1, len(place))), drawn])

    def means(self, values: Array) -> Array:
        """The mean of all values, and of every draw."""
        total = self.weights.sum(1)
        return np.divide(self.weights @ values, total, out=np.full(len(total), np.nan), where=total > 0)


def measured_against(sample: Sample, values: Array, against: Array | float) -> Row:
    """Columns ``value`` to ``p`` of a number and its draws, set against a value, which may have draws of its own.

    ``p`` is two-sided: the difference over the standard deviation of its draws, by Student's t with one degree less
    than the patients; where all draws are the same, of the sign test. With fewer than 5 patients there is the value
    alone.
    """
    null = np.broadcast_to(np.asarray(against, float), values.shape)
    gap = values - null
    row: Row = {
        "value": float(values[0]), "against": float(null[0]), "difference": float(gap[0]), "n": sample.n,
        "groups": sample.groups,
    }  # fmt: skip
    if sample.groups < FEWEST or not np.isfinite(gap[0]):
        return row
    low, high = limits(values)
    below, above = limits(gap)
    known = gap[1:][np.isfinite(gap[1:])]
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else 0.0
    if spread > 1e-12:
        p = float(2 * t.sf(abs(gap[0]) / spread, sample.groups - 1))
    else:  # the same in all: all patients on one side
        p = 1.0 if abs(gap[0]) < 1e-12 else 2.0 ** (1 - sample.groups)
    return row | {"low": low, "high": high, "difference_low": below, "difference_high": above, "p": p}


def share_against(sample: Sample, values: Array, against: float) -> Row:
    """The same for a share of hits and misses, by Wilson's interval and the exact binomial test.

    A bootstrap of hits that are all misses has no width; this has. Their number is that of the patients; where some
    have more cases than others it is the less that these weigh, ``(Σ m)² / Σ m²`` of m cases each, as if a patient's
    cases were all hits or all misses: it may be wider than it need be. ``against`` is taken as known. Source:
    wilson1927probable.
    """
    value, groups = float(values.mean()) if len(values) else np.nan, sample.groups
    row: Row = {"value": value, "against": against, "difference": value - against, "n": sample.n, "groups": groups}
    if groups < FEWEST:
        return row
    n = sample.n**2 / float((np.bincount(sample.place) ** 2).sum())
    hits = value * n  # no whole number: the tails of the binomial as integrals, which agree where it is one
    low, high = wilson(hits, n)
    above = float(beta.cdf(against, hits, n - hits + 1)) if hits > 1e-9 else 1.0
    below = float(beta.sf(against, hits + 1, n - hits)) if n - hits > 1e-9 else 1.0
    p = min(1.0, 2 * min(above, below)) if 0 < against < 1 else np.nan
    return row | {"low": low, "high": high, "difference_low": low - against, "difference_high": high - against, "p": p}


def beside(values: Array, control: Array | None) -> Row:
    """Columns of the random map's number, and of the paired difference from it, from the same draws."""
    if control is None or not np.isfinite(control[0]):
        return {}
    gap = values - control
    low, high = limits(gap)
    return {
        "control_value": float(control[0]), "over_control": float(gap[0]), "over_control_low": low,
        "over_control_high": high,
    }  # fmt: skip


def limits(values: Array) -> tuple[float, float]:
    """2.5 and 97.5 % quantiles of the draws (row 0 is none); NaN where more than half of them are undefined."""
    known = values[1:][np.isfinite(values[1:])]
    if 2 * len(known) < len(values) - 1:
        return np.nan, np.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def judged(rows: Sequence[Row]) -> pd.DataFrame:
    """The table of claims: Holm's correction and the verdicts, by the rule above.

    A row with the key ``free`` need not beat the random map.
    """
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(_NUMBERS, float))
    table["note"] = table["note"].where(table["note"].notna(), "")
    table["region"] = table["region"].where(table["region"].notna(), "")
    family = [
        table["method"].isin(CONTROLS).rename("control"), (table["finding"] == ALL).rename("whole"),
        *(table[c] for c in FAMILY),
    ]  # fmt: skip
    for _, own in table.groupby(family, sort=False, dropna=False):
        table.loc[own.index, "p_holm"] = holm(own["p"].to_numpy(float))
    records: Sequence[Any] = table.to_dict("records")
    table["verdict"] = [verdict(r, free=bool(given.get("free"))) for r, given in zip(records, rows)]
    few = table["groups"].between(1, FEWEST - 1) & (table["note"] == "")
    table.loc[few, "note"] = [
        f"{int(g)} patient{'' if g == 1 else 's'}, fewer than {FEWEST}" for g in table.loc[few, "groups"]
    ]
    return table


def verdict(row: Row, *, free: bool = False) -> str:
    """One of ``holds``, ``does not hold``, ``not settled``, ``not testable``."""
    if not row["groups"] >= FEWEST or not np.isfinite(row["difference"]):
        return MISSING
    less = row["direction"] == "less"
    low, high = row["difference_low"], row["difference_high"]
    low, high = (-high, -low) if less else (low, high)
    sure = row["p_holm"] < LEVEL
    over = -row["over_control_high"] if less else row["over_control_low"]
    fair = free or row["method"] in CONTROLS or np.isnan(row["control_value"]) or over > 0
    return HOLDS if low > 0 and sure and fair else FAILS if high < 0 and sure else OPEN


def not_testable(claim: str, statement: str, why: str, *, finding: str = ALL, method: str = "") -> Row:
    """The row of a claim that something is missing for."""
    return {
        "claim": claim, "finding": finding, "method": method, "statement": statement, "note": why, "n": 0, "groups": 0,
        "direction": "more", "measure": "", "cases": ALL,
    }  # fmt: skip


def by_finding(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each finding, and before them of all where there are several."""
    if table["target"].nunique() > 1:
        yield ALL, table
    for finding, own in table.groupby("target", sort=False):
        yield str(finding), own


def widened(table: pd.DataFrame, *further: str) -> pd.DataFrame:
    """One row per map (and what is named further), one column per measure."""
    index = ["case", "group", "method", "target", "outcome", *further]
    means = table.groupby([*index, "measure"], sort=False, dropna=False)["value"].mean()
    return means.unstack("measure").dropna(how="all").reset_index()


def owners(table: pd.DataFrame) -> NDArray[Any]:
    """The patient of every row; the case where no patient is known."""
    return table["group"].where(table["group"].notna(), table["case"]).astype(str).to_numpy()


_NUMBERS = [
    "value", "low", "high", "against", "difference", "difference_low", "difference_high", "p", "p_holm", "n", "groups",
    "control_value", "over_control", "over_control_low", "over_control_high",
]  # fmt: skip
