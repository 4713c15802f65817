"""Cases whose evidence lies elsewhere than in the rest of a cohort: an isolation forest for each class.

A case is one row per class: the share of the map's magnitude (``mass``) in every region. A forest of random trees is
grown on the training cohort's rows; a row that few cuts separate from the rest is easy to isolate, and scores low.
Sources: liu2008isolation, iglewicz1993detect.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pellucid.aggregate.wide import WHOLE
from pellucid.core.statistics import Array
from pellucid.errors import InputError, UsageError, nearest

FEWEST_TRAINED = 10  # cases: a forest grown on fewer says little but which of them is last
NAMED = 3  # regions named as the reason, at most
FAR = 2.0  # robust z from which a region is named
COLUMNS = [
    "case", "target", "trained_on", "score", "rank", "outlier", "dice", "region", "value", "median", "z", "why", "note",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Forest:
    """How an isolation forest is grown.

    Attributes:
        trees: how many.
        contamination: the share of the training cases that is called an outlier, or ``"auto"``: a score below the one
            of a row that takes as many cuts as an average one would in a random tree (Liu's 0.5).
        seed: of all that is random.
    """

    trees: int = 300
    contamination: float | str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the options."""
        share = self.contamination
        if self.trees < 1 or (share != "auto" and not (isinstance(share, int | float) and 0 < share <= 0.5)):
            raise UsageError(
                f"outliers: trees={self.trees}, contamination={share!r}; give 1 tree or more, and 'auto' or a share "
                "above 0 and at most 0.5"
            )


def mass_rows(table: pd.DataFrame, target: str, *, measure: str = "mass") -> pd.DataFrame:
    """One row per case, one column per region, in the order in which the table has them.

    A region that a case does not have has no part of the map: 0. A case in which the class was never predicted has
    NaN all along.

    Raises:
        InputError: the table has no such measure or target, or several values for one cell.
    """
    own = table[(table["measure"] == measure) & (table["region"] != WHOLE)]
    if not len(own):
        near = nearest(measure, table["measure"].unique())
        raise InputError(f"outliers: the table has no measure {measure!r}; {near}")
    mine = own[own["target"] == target]
    if not len(mine):
        near = nearest(target, own["target"].unique())
        raise InputError(f"outliers: the table has no {measure} of {target!r}; {near}")
    twice = mine[mine.duplicated(["case", "region"])]
    if len(twice):
        first = twice.iloc[0]
        raise InputError(
            f"case {first['case']}: {measure} of {target!r} in {first['region']!r} is there more than once; keep the "
            "rows of one method and of one label map ('of')"
        )
    wide = mine.pivot(index="case", columns="region", values="value")
    wide = wide.reindex(index=list(dict.fromkeys(mine["case"])), columns=list(dict.fromkeys(mine["region"])))
    known = wide.notna().any(axis=1)
    return wide.astype(float).fillna(0.0).where(known, np.nan)


def find_outliers(
    table: pd.DataFrame,
    *,
    train: pd.DataFrame | None = None,
    measure: str = "mass",
    targets: Iterable[str] | None = None,
    forest: Forest | None = None,
) -> pd.DataFrame:
    """Score every case of a long region table, class by class.

    Args:
        table: ``case, target, region, measure, value`` of one method and one label map: the cases that are scored.
        train: the cohort that the forest is grown on; ``table`` itself if None. Cases that are scored by a forest
            which has seen them score a little higher (less deviant) than they would otherwise.
        measure: which measure makes the rows.
        targets: classes; all of the table by default.
        forest: how it is grown.

    Returns:
        One row per case and target. ``score``: scikit-learn's ``decision_function``, at most 0 for an ``outlier``,
        lower for what is easier to isolate; ``rank``: 1 the lowest score of the class; ``dice`` of that class where
        the table has it. ``region``, ``value``, ``median`` and ``z``: where the case deviates most from the training
        cohort (robust z, which is infinite where all of the cohort agree), and ``why``, in words, for up to three
        regions of a z of 2 or more. ``note`` says why there is no score, and what was left out.

    Raises:
        InputError: no such measure or target, several values for one cell, or a table without regions that the
            training table has.
    """
    how = forest or Forest()
    base = table if train is None else train
    named = list(dict.fromkeys(table.loc[table["measure"] == measure, "target"])) if targets is None else list(targets)
    found = [_of_target(table, base, t, measure, how) for t in named]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)


def robust_z(values: Array, cohort: Array) -> Array:
    """How far values lie from the median of a cohort, column by column: ``(value − median) / (1.4826 · MAD)``.

    Where more than half of the cohort agree, 1.2533 · mean absolute deviation takes the place of 1.4826 · MAD; where
    all agree, z is 0 or infinite.

    Args:
        values: ``(n, columns)``.
        cohort: ``(cases, columns)``.
    """
    middle = np.median(cohort, axis=0)
    away = np.abs(cohort - middle)
    scale = 1.4826 * np.median(away, axis=0)
    scale = np.where(scale > 0, scale, 1.2533 * away.mean(axis=0))
    gap = values - middle
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0.0, gap / scale)


def _of_target(table: pd.DataFrame, base: pd.DataFrame, target: str, measure: str, how: Forest) -> pd.DataFrame:
    from sklearn.ensemble import IsolationForest

    rows, cohort = mass_rows(table, target, measure=measure), mass_rows(base, target, measure=measure)
    absent = [r for r in cohort if r not in rows]
    if absent:
        raise InputError(
            f"outliers of {target!r}: the scored table has no region {', '.join(map(repr, absent))}, which the "
            "training table has; aggregate both over the same regions"
        )
    note = _beyond([str(r) for r in rows if r not in cohort])
    rows, cohort = rows[list(cohort)], cohort.dropna()
    known = rows.dropna()
    out = pd.DataFrame({"case": list(rows.index), "target": target, "trained_on": len(cohort)})
    out = out.reindex(columns=COLUMNS).astype({"region": object, "why": object, "note": object})
    out["dice"] = list(_dice(table, target).reindex(rows.index))
    out["outlier"] = pd.array([None] * len(out), dtype="boolean")
    missing = ~out["case"].isin(known.index)
    out["why"] = ""
    vary = [r for r in cohort if cohort[r].nunique() > 1]
    if len(cohort) < FEWEST_TRAINED:
        out["note"] = (
            f"the class is explained in {len(cohort)} training cases, fewer than {FEWEST_TRAINED}: no forest was grown"
        )
        return out
    if not vary:
        out["note"] = f"the {measure} is the same in all training cases: there is nothing to tell cases apart by"
        return out
    note += _alike([str(r) for r in cohort if r not in vary])
    out["note"] = np.where(missing, "the class was never predicted in this case: no score", note)
    if not len(known):
        return out
    made = IsolationForest(n_estimators=how.trees, contamination=how.contamination, random_state=how.seed)
    made.fit(cohort[vary].to_numpy())
    score = pd.Series(made.decision_function(known[vary].to_numpy()), known.index)
    z = robust_z(known.to_numpy(), cohort.to_numpy())
    place = out.set_index("case").index.get_indexer(known.index)
    out.loc[place, "score"] = score.to_numpy()
    out.loc[place, "rank"] = score.rank(method="min").to_numpy()
    out.loc[place, "outlier"] = pd.array(score.to_numpy() < 0, dtype="boolean")
    middle = cohort.median()
    for at, case, own in zip(place, known.index, z):
        order = np.argsort(-np.abs(own), kind="stable")
        first = str(cohort.columns[order[0]])
        out.loc[at, ["region", "value", "median", "z"]] = [first, known.at[case, first], middle[first], own[order[0]]]
        far = [j for j in order[:NAMED] if abs(own[j]) >= FAR]
        named = [_reason(str(cohort.columns[j]), known.loc[case].iloc[j], middle.iloc[j], own[j]) for j in far]
        out.loc[at, "why"] = "; ".join(named) or "no region stands out by itself"
    return out


def _reason(region: str, value: float, median: float, z: float) -> str:
    """One deviation in words, such as ``heart 0.31 (median 0.12, z +5.2)``."""
    if math.isinf(z):
        return f"{region} {value:.2g} (in all of the cohort {median:.2g})"
    return f"{region} {value:.2g} (median {median:.2g}, z {'+' if z > 0 else '−'}{abs(z):.1f})"


def _dice(table: pd.DataFrame, target: str) -> pd.Series:
    own = table[(table["measure"] == "dice") & (table["region"] == WHOLE) & (table["target"] == target)]
    return own.drop_duplicates("case").set_index("case")["value"]


def _beyond(regions: list[str]) -> str:
    if not regions:
        return ""
    return f"not in the training table, so not looked at: {', '.join(regions)}. "


def _alike(regions: list[str]) -> str:
    if not regions:
        return ""
    return f"the same in all training cases, so no part of the forest: {', '.join(regions)}"
