"""Does refining a map help, and does it help more than it helps a map that knows nothing of the model?

A mask raises the overlap of any map with a lesion that lies in the mask. So the gain of a method's map is set beside
the gain of a random map that was masked in the same way, and the masked map beside the masked random one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.core.statistics import FEWEST, Array, draws_of, holm, interval, mean
from pellucid.errors import UsageError
from pellucid.evaluate.cohort.blocks import about
from pellucid.evaluate.cohort.intervals import gap, signed_rank

NEEDED = ("case", "method", "metric", "value")
COLUMNS = [
    "metric", "by", "method", "refined", "control", "direction", "plain", "plain_low", "plain_high", "mean", "low",
    "high", "difference", "difference_low", "difference_high", "p", "beyond", "beyond_low", "beyond_high", "against",
    "against_low", "against_high", "n", "groups", "undefined", "word", "fair", "note",
]  # fmt: skip
HELPS, COSTS, NONE, UNDEFINED = "helps", "costs", "no difference shown", "undefined"
NO_MORE = "helps no more than it helps a random map"
BETTER, WORSE, ALIKE = "better", "worse", "not told apart"


class Pair(NamedTuple):
    """A method, what its maps were refined by, and the name of the refined map: ``grad_cam``, ``segx``,
    ``segx(grad_cam)``."""

    method: str
    by: str
    refined: str


def pairs_of(methods: Iterable[str], by: Iterable[str]) -> list[Pair]:
    """The methods that have a refined form ``by(method)`` among them."""
    names = list(dict.fromkeys(str(m) for m in methods))
    return [Pair(m, b, f"{b}({m})") for b in dict.fromkeys(by) for m in names if f"{b}({m})" in names]


def refined(
    scores: pd.DataFrame, pairs: Sequence[Pair], *, group: str = "group", n_boot: int = 2000, seed: int = 0,
    controls: Sequence[str] = ("random", "edge"),
) -> pd.DataFrame:  # fmt: skip
    """Every refined map against the map it was made from, and against the first control refined in the same way.

    All differences are paired: of one case and target; a case's is the mean over its targets, and the bootstrap draws
    patients with all of their cases.

    Args:
        scores: long table: ``case``, ``group``, ``target_index``, ``method``, ``metric``, ``value`` (NaN where
            undefined).
        pairs: which method's refined form is which (:func:`pairs_of`).
        group: column of what is drawn, normally the patient; every case its own if there is no such column.
        n_boot, seed: of the draws.
        controls: methods that know nothing of the model; the first one is what the gain is compared with.

    Returns:
        One row per metric and pair. ``plain`` and ``mean``: of the map as it was and refined, over the ``n`` cases
        (``groups`` patients) that have both; ``undefined``, cases that have not. ``difference``: refined less plain;
        ``p``: its two-sided Wilcoxon signed-rank test over patients, Holm-corrected over the methods of the metric.
        ``beyond``: that difference less the control's. ``against``: refined less the refined control. Each with its
        95 % interval. ``word``: what refining does by the direction of the metric, ``"helps"``, ``"costs"``, ``"no
        difference shown"``, ``"helps no more than it helps a random map"`` (the interval of ``beyond`` is not on the
        better side of zero) or ``"undefined"``; ``fair``: the refined map is ``"better"``, ``"worse"`` or ``"not told
        apart"`` from the refined control. ``note``: why something is missing; under 5 patients nothing is claimed.

    Raises:
        UsageError: a column is missing, or ``n_boot`` is under 1.
    """
    missing = [c for c in NEEDED if c not in scores]
    if missing:
        raise UsageError(f"refined: the table has no column {', '.join(map(repr, missing))}")
    if n_boot < 1:
        raise UsageError(f"refined: n_boot is {n_boot}; give at least 1")
    names = {n for p in pairs for n in (p.method, p.refined)}
    table = scores[scores["method"].isin(names)]
    if not len(table):
        return pd.DataFrame(columns=COLUMNS)
    owner = table[group].where(table[group].notna(), table["case"]) if group in table else table["case"]
    target = table.get("target_index", 0)
    table = table.assign(_group=owner.astype(str), _target=target)
    index = ["metric", "_group", "case", "_target"]
    wide = table.groupby([*index, "method"], sort=False)["value"].mean().unstack("method").sort_index()
    rows: list[dict[str, Any]] = []
    for metric in dict.fromkeys(table["metric"].astype(str)):
        own = wide.loc[[metric]]
        asked = set(table.loc[table["metric"] == metric, "method"])
        for by in dict.fromkeys(p.by for p in pairs):
            mine = [p for p in pairs if p.by == by and {p.method, p.refined} <= asked]
            rows += _one(metric, own, mine, controls, n_boot, seed)
    return pd.DataFrame(rows, columns=COLUMNS)


def _one(
    metric: str, own: pd.DataFrame, pairs: Sequence[Pair], controls: Sequence[str], n_boot: int, seed: int
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """The rows of one metric and refiner; ``own``: one row per case and target, one column per method."""
    cases, case = np.unique(own.index.get_level_values("case"), return_inverse=True)
    patients, patient = np.unique(own.index.get_level_values("_group"), return_inverse=True)
    groups = np.zeros(len(cases), np.int64)
    groups[case] = patient
    draws = draws_of(len(patients), n_boot, seed)
    direction, question = about(metric)
    sign = {"higher": 1, "lower": -1}.get(direction, 0)
    chance = next((p for c in controls[:1] for p in pairs if p.method == c), None)
    value = {n: own[n].to_numpy(float) for p in pairs for n in (p.method, p.refined)}
    gain = {p: gap(value[p.refined], value[p.method]) for p in pairs}
    found = []
    for p in pairs:
        both = np.isfinite(gain[p])
        row: dict[str, Any] = {"metric": metric, "by": p.by, "method": p.method, "refined": p.refined,
                               "control": p.method in controls, "direction": direction}  # fmt: skip
        parts = {"plain": np.where(both, value[p.method], np.nan), "": np.where(both, value[p.refined], np.nan),
                 "difference": gain[p]}  # fmt: skip
        if chance is not None and p is not chance:
            parts |= {"beyond": gap(gain[p], gain[chance]), "against": gap(value[p.refined], value[chance.refined])}
        sides = {}
        for name, per_target in parts.items():
            values = _per_case(per_target, case, len(cases))
            low, high, why = interval(values, groups, draws)
            stem = f"{name}_" if name else ""
            row |= {name or "mean": mean(values), f"{stem}low": low, f"{stem}high": high}
            enough = len(np.unique(groups[np.isfinite(values)]))
            sides[name] = _side(low, high, sign) if enough >= FEWEST else None
            if name == "difference":
                row |= {"p": signed_rank(values, groups), "n": int(np.isfinite(values).sum()), "groups": enough,
                        "undefined": int(np.isnan(values).sum()), "note": why}  # fmt: skip
        if not row["note"] and question == "certainty" and not np.any(gain[p][both]):
            sides, row["note"] = {}, "it reads the map as it was before it was refined"
        elif not row["note"] and not sign:
            row["note"] = "the measure has no better side"
        elif not row["note"] and row["groups"] < FEWEST:
            row["note"] = f"{row['groups']} patients: too few to tell from chance"
        elif not row["note"] and chance is None:
            row["note"] = "no refined control: whether a random map gains as much is not known"
        found.append(row | _words(sides))
    for row, p_value in zip(found, holm(np.array([r["p"] for r in found], float))):
        yield row | {"p": p_value}


def _words(sides: dict[str, int | None]) -> dict[str, str]:
    """What is said, from the side of zero on which each interval lies: 1 better, −1 worse, 0 neither, None unknown."""
    side = sides.get("difference")
    word = UNDEFINED if side is None else {1: HELPS, -1: COSTS, 0: NONE}[side]
    if word == HELPS and sides.get("beyond", 1) in (0, -1):
        word = NO_MORE
    against = sides.get("against")
    return {"word": word, "fair": "" if against is None else {1: BETTER, -1: WORSE, 0: ALIKE}[against]}


def _side(low: float, high: float, sign: int) -> int | None:
    if not sign or not np.isfinite(low):
        return None
    return sign if low > 0 else -sign if high < 0 else 0


def _per_case(values: Array, case: NDArray[np.int64], many: int) -> Array:
    """Mean over the targets of each case that have a value; NaN where none has."""
    known = np.isfinite(values)
    total = np.bincount(case[known], values[known], minlength=many)
    count = np.bincount(case[known], minlength=many)
    return np.divide(total, count, out=np.full(many, np.nan), where=count > 0)
