"""Where the evidence for each finding lies, over the cohort: zones of the picture, columns of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pellucid.report.charts import Bar
from pellucid.report.cohort_matrix import mass_matrix
from pellucid.report.dots import level_dots
from pellucid.report.judge import is_control
from pellucid.report.numbers import DASH, interval, is_number, number
from pellucid.report.pieces import Panel, count, listed, panel, picture
from pellucid.report.swarm import beeswarm
from pellucid.study.store import Run
from pellucid.study.zoned import OUTSIDE

EVERY, ALL = "all findings", "all"
SWARMS, MOST_DOTS, MOST_ROWS = 4, 1000, 20
FIRST = "the first in the order of trust that has such maps"
WORDS = {"TP": "said and true", "FP": "said, not true", "FN": "missed", "TN": "not said, not true"}
CANNOT = (
    "Mass is the zone’s part of the map’s magnitude, and follows its size; enrichment is that over the zone’s part of "
    "the picture, 1 where the map is indifferent. Both say where the map lies, not whether the model is right to look "
    "there, and they are as good as the maps."
)
LUNGS = (
    "Right and left are the patient’s. The zones are thirds of each lung’s height; where the lung mask is an estimate, "
    "“outside the lungs” is as well, and a lung that is white all over may be missing from it."
)


def zone_panels(run: Run, task: str, order: Sequence[str]) -> list[Panel]:
    """The card of the analysis ``zone_importance``, where the recipe asks for it.

    Args:
        run: whose tables are read.
        task: of the run.
        order: methods, the most trusted first.
    """
    table = run.table("zone_importance_summary", task)
    if not len(table):
        return []
    cases = run.table("zone_importance", task)
    cards = []
    for kind, build in (("zone", _zones), ("feature", _features)):
        own = table[table["kind"] == kind]
        methods = methods_of(own, order)
        if methods:
            cards.append(build(own, cases[cases["kind"] == kind], methods))
    return cards


def methods_of(table: pd.DataFrame, order: Sequence[str]) -> list[str]:
    """The methods of a table in the order of trust; only the controls where there is no other."""
    there = list(dict.fromkeys(table["method"]))
    ranked = [*(m for m in order if m in there), *(m for m in there if m not in order)]
    return [m for m in ranked if not is_control(m)] or ranked


def _zones(table: pd.DataFrame, cases: pd.DataFrame, methods: Sequence[str]) -> Panel:
    first = methods[0]
    own = table[table["method"] == first]
    found = _Found(own)
    zones, names, lungs = found.zones, found.findings, OUTSIDE in found.zones
    means = _square(own, "mass").reindex(columns=zones)
    maps = sum(max(int(found.row(t, z, "mass").get("n", 0)) for z in zones) for t in names)
    line = (
        f"{count(maps, 'map')} of {count(cases.loc[cases['method'] == first, 'case'].nunique(), 'case')} by {first}, "
        f"{FIRST}; {count(len(zones), 'zone')}."
    )
    known = [t for t in means.index if means.loc[t].notna().any()]
    said = [f"{t} most in {means.loc[t].idxmax()} ({100 * means.loc[t].max():.0f})" for t in known]
    figure = mass_matrix(means, order=[*names, EVERY, *zones], title="Mean mass, in percent of the map",
                         background=OUTSIDE if lungs else "")  # fmt: skip
    more = [(f"Mass by finding and zone, {m}", _by_finding(_Found(table[table["method"] == m]))) for m in methods]
    if found.outcomes > {ALL}:
        more += [(f"By outcome, {first}: {z}", _by_outcome(found, z)) for z in ([OUTSIDE] if lungs else zones[:1])]
    return panel(
        "Where the evidence for each finding lies", line, points=_points(found, lungs=lungs),
        notes=[CANNOT, *([LUNGS] if lungs else [])], table=_by_zone(found) | {"open": True}, more=more,
        picture=picture(figure, "Mean mass in per cent: " + listed(said, 12), colours=128),
        folds=_swarms(cases[cases["method"] == first], names, "brightness of the zone", "sum of the map in the zone"),
    )  # fmt: skip


def _features(table: pd.DataFrame, cases: pd.DataFrame, methods: Sequence[str]) -> Panel:
    first = methods[0]
    found = _Found(table[table["method"] == first])
    names = found.findings
    line = f"{count(len(found.zones), 'column')}, {count(cases['case'].nunique(), 'case')}, by {first}, {FIRST}."
    notes = [
        "Mean |value| over the cases is the usual global importance (mean |SHAP|, where the method gives Shapley "
        "values). It says how much the model uses a column in these cases, in units of its output, not how much the "
        "column matters for the disease; columns that go together share it between them."
    ]
    rows = [
        {"name": z, "control": False,
         "cells": [_cell(found.row(t, z, m)) for t in names for m in ("absolute", "signed_sum")]}
        for z in found.zones
    ]  # fmt: skip
    head = ["column", *(h for n in names for h in (f"{n}: mean |value|", "mean value"))]
    swarms = _swarms(cases[cases["method"] == first], names, "value of the column", "value of the map", means=found)
    sized = {t: [_bar(z, found.row(t, z, "absolute")) for z in found.zones[:MOST_ROWS]] for t in names[:SWARMS]}
    said = [f"{t}: most by {max(b, key=lambda v: np.nan_to_num(v.value)).name}" for t, b in sized.items()]
    bars = {t: {"mean |value|": b} for t, b in sized.items()}
    return panel(
        "How much each column of the tables counts", line, notes=notes, folds=swarms,
        table={"head": head, "rows": rows, "open": True},
        picture=picture(level_dots(bars), f"Mean |value| of every column with intervals; {listed(said)}", colours=64),
    )  # fmt: skip


def _bar(zone: str, row: dict[Any, Any]) -> Bar:
    low, high = (float(row[k]) if row and is_number(row[k]) else None for k in ("low", "high"))
    return Bar(zone, float(row.get("mean", np.nan)), low, high)


def _square(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    own = table[(table["measure"] == measure) & (table["outcome"] == ALL)]
    return own.pivot(index="target", columns="zone", values="mean")


class _Found:
    """The rows of one method by finding, zone, measure and outcome."""

    def __init__(self, table: pd.DataFrame) -> None:
        keys = table[["target", "zone", "measure", "outcome"]].astype(str).itertuples(index=False, name=None)
        self.rows = dict(zip(keys, table.to_dict("records"), strict=True))
        self.targets = list(dict.fromkeys(table["target"].astype(str)))
        self.zones = list(dict.fromkeys(table["zone"].astype(str)))
        self.outcomes = set(table["outcome"].astype(str))

    def row(self, target: str, zone: str, measure: str, outcome: str = ALL) -> dict[Any, Any]:
        """One row, or an empty one."""
        return self.rows.get((target, zone, measure, outcome), {})

    @property
    def findings(self) -> list[str]:
        """The findings, without all of them together."""
        return [t for t in self.targets if t != EVERY] or self.targets

    @property
    def whole(self) -> str:
        """All findings together, or the only one."""
        return EVERY if EVERY in self.targets else self.targets[0]


def _cell(row: dict[Any, Any], key: str = "", *, n: bool = False) -> dict[str, str]:
    if not row:
        return {"text": DASH, "small": ""}
    value, low, high = ("mean", "low", "high") if not key else (key, f"{key}_low", f"{key}_high")
    small = interval(row[low], row[high]) + (f" n {int(row['n'])}" if n else "")
    return {"text": number(row[value]), "small": small.strip(), "why": "" if key else str(row["note"] or "")}


def _by_zone(found: _Found) -> dict[str, Any]:
    rows = []
    for zone in found.zones:
        mass, rich = (found.row(found.whole, zone, m) for m in ("mass", "enrichment"))
        share = {"text": number(mass["share"]) if mass else DASH, "small": ""}
        cells = [share, _cell(mass), _cell(rich) | {"why": ""}, _cell(mass, "over_random")]
        rows.append({"name": zone, "control": False, "cells": cells})
    head = [f"zone ({found.whole})", "part of the picture", "mass", "enrichment", "mass minus random"]
    return {"head": head, "rows": rows}


def _by_finding(found: _Found) -> dict[str, Any]:
    rows = []
    for t in found.targets:
        cells = [_cell(found.row(t, z, "mass"), n=k == 0) for k, z in enumerate(found.zones)]
        rows.append({"name": t, "control": False, "cells": cells})
    return {"head": ["finding", *found.zones], "rows": rows}


def _by_outcome(found: _Found, zone: str) -> dict[str, Any]:
    known = [o for o in WORDS if o in found.outcomes]
    rows = []
    for t in found.targets:
        cells = [_cell(found.row(t, zone, "mass", o), n=True) for o in known]
        rows.append({"name": t, "control": False, "cells": cells})
    return {"head": ["finding", *(f"{o}: {WORDS[o]}" for o in known)], "rows": rows}


def _points(found: _Found, *, lungs: bool) -> list[str]:
    said = []
    for name in found.findings[:3]:
        rich = [found.row(name, z, "enrichment") for z in found.zones if z != OUTSIDE]
        sure = [r for r in rich if r and is_number(r["low"])]
        if sure:
            top = max(sure, key=lambda r: float(r["mean"]))
            said.append(
                f"{name}: densest in {top['zone']}, {number(top['mean'])} {interval(top['low'], top['high'])} times "
                "the zone’s part of the picture."
            )
    out = found.row(found.whole, OUTSIDE, "mass") if lungs else {}
    if out:
        chance = f"; of a random map {number(out['random'])}" if is_number(out["random"]) else ""
        part = f"{number(out['mean'])} {interval(out['low'], out['high'])}".strip()
        said.append(f"Outside the lungs lies {part} of the maps’ magnitude{chance}.")
    return said


def _swarms(
    cases: pd.DataFrame, names: Sequence[str], colour: str, axis: str, means: _Found | None = None
) -> list[Panel]:
    """A panel for each of the findings with most maps."""
    if not len(cases):
        return []
    counted = cases.groupby("target")["case"].nunique()
    most = sorted((n for n in names if n in counted.index), key=lambda n: -int(counted[n]))[:SWARMS]
    found = []
    for name in most:
        own = cases[cases["target"] == name]
        kept = list(dict.fromkeys(own["case"]))[:MOST_DOTS]
        own = own[own["case"].isin(kept)]
        rows = {str(z): (g["signed_sum"].tolist(), g["intensity"].tolist()) for z, g in own.groupby("zone", sort=False)}
        sizes = None
        if means is not None:
            all_of = {z: float(means.row(name, z, "absolute").get("mean", np.nan)) for z in rows}
            order = sorted(rows, key=lambda z: -np.nan_to_num(all_of[z]))[:MOST_ROWS]
            rows, sizes = {z: rows[z] for z in order}, {z: all_of[z] for z in order}
        both = bool((own["signed_sum"] < 0).any())
        towards = f"{axis}: for (right of 0) or against {name}" if both else f"{axis}, for {name}"
        figure = beeswarm(rows, axis_name=towards, colour_name=f"{colour}, by rank", means=sizes)
        said = f"A dot for each of {len(kept)} cases in {len(rows)} rows: {axis}, for {name}, coloured by the {colour}"
        less = f" The first {MOST_DOTS} of {int(counted[name])} are drawn." if int(counted[name]) > MOST_DOTS else ""
        found.append(panel(f"Case by case: {name}", f"{count(int(counted[name]), 'case')}, a dot for each.{less}",
                           picture=picture(figure, said, colours=128)))  # fmt: skip
    return found
