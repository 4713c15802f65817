"""The page's pieces on patients: what is known of them by class, and what goes with a class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pellucid.report.eda_charts import Outline, stacked, violins
from pellucid.report.numbers import interval, is_number, number, p_value
from pellucid.report.pieces import Panel, panel, picture
from pellucid.study.store import Run

MEASURES = {"cramer_v": "Cramér's V", "point_biserial": "correlation", "spearman": "Spearman's ρ", "eta": "η"}
MOST = 16  # associations in the table


def people_panels(run: Run, task: str) -> list[Panel]:
    """A piece for each column that is known of the patients, by class."""
    table, outlines = run.table("eda_people", task), run.table("eda_violins", task)
    found = []
    for column in dict.fromkeys(table["column"]) if len(table) else ():
        own = table[table["column"] == column]
        drawn = outlines
        if len(outlines):
            drawn = outlines[(outlines["source"] == "meta") & (outlines["feature"] == column)]
        found.append(_levels(str(column), own) if own["kind"].iloc[0] == "levels" else _number(str(column), own, drawn))
    return found


def _levels(column: str, own: pd.DataFrame) -> Panel:
    levels = [str(v) for v in dict.fromkeys(own["level"])]
    by = {(r["class"], r["level"]): r for r in own.to_dict("records")}
    classes = [str(c) for c in dict.fromkeys(own["class"]) if by[c, levels[0]]["of_cases"]]
    rows = {c: [by[c, v]["share"] for v in levels] for c in classes}
    ends = {c: f"n {by[c, levels[0]]['of_cases']}" for c in classes}
    most = {v: [by[c, v]["share"] for c in classes] for v in levels}
    widest = max(levels, key=lambda v: max(most[v]) - min(most[v]))
    line = f"{widest}: {100 * min(most[widest]):.0f} to {100 * max(most[widest]):.0f} % by class"
    said = "; ".join(f"{c}: " + ", ".join(f"{v} {100 * s:.0f} %" for v, s in zip(levels, rows[c])) for c in classes)
    cells = [
        {"name": c, "control": False, "cells": [
            *({"text": f"{100 * by[c, v]['share']:.1f} %", "small": f"{by[c, v]['cases']} cases, "
               f"{by[c, v]['patients']} patients {interval(by[c, v]['low'], by[c, v]['high'])}"} for v in levels),
            {"text": str(by[c, levels[0]]["missing"]), "small": ""}]}
        for c in classes
    ]  # fmt: skip
    return panel(f"{column} by class", line, picture=picture(stacked(rows, levels, ends, column), said),
                 table={"head": ["class", *levels, "unknown"], "rows": cells})  # fmt: skip


def _number(column: str, own: pd.DataFrame, drawn: pd.DataFrame) -> Panel:
    rows = own.to_dict("records")
    line = ", ".join(f"{r['class']} {number(r['mean'])}" for r in rows[:4]) + (" …" if len(rows) > 4 else "")
    cells = [
        {"name": str(r["class"]), "control": False, "cells": [
            {"text": number(r["mean"]), "small": interval(r["low"], r["high"])}, {"text": number(r["sd"]), "small": ""},
            {"text": number(r["median"]), "small": f"{number(r['q05'])} to {number(r['q95'])}"},
            {"text": str(r["of_cases"]), "small": f"{r['patients']} patients"},
            {"text": str(r["missing"]), "small": ""}]}
        for r in rows
    ]  # fmt: skip
    table = {"head": ["class", "mean", "sd", "median (5 to 95 %)", "cases", "unknown"], "rows": cells}
    outlines = outlines_of(drawn, own)
    said = "; ".join(f"{r['class']}: median {number(r['median'])}" for r in rows)
    shown = picture(violins({column: outlines}, across=1), said) if outlines else None
    return panel(f"{column} by class", f"mean {line}", picture=shown, table=table)


def outlines_of(drawn: pd.DataFrame, quartiles: pd.DataFrame) -> list[Outline]:
    """The violins of one number, class by class, with the quartiles and the number of cases from another table."""
    by = {r["class"]: r for r in quartiles.to_dict("records")}
    found = []
    for name, own in drawn.groupby("class", sort=False):
        r = by.get(name)
        three = None if r is None else (float(r["q25"]), float(r["median"]), float(r["q75"]))
        n = None if r is None else int(r["cases"])
        found.append(Outline(str(name), own["x"].to_numpy(float), own["density"].to_numpy(float), three, n))
    return found


def association_panels(run: Run, task: str) -> list[Panel]:
    """What goes with a class or a score and is not it, the strongest first."""
    table = run.table("eda_associations", task)
    if not len(table):
        return []
    line = f"{int(table['found'].sum())} of {len(table)} associations are beyond chance"
    rows = [
        {"name": f"{r['column']} and {r['class']}", "control": False, "cells": [
            {"text": number(r["value"]), "small": interval(r["low"], r["high"]), "why": MEASURES[r["measure"]]},
            {"text": _with(r, "with"), "small": ""}, {"text": _with(r, "without"), "small": ""},
            {"text": number(r["difference"]), "small": interval(r["difference_low"], r["difference_high"])},
            {"text": p_value(r["p_holm"]) if is_number(r["p_holm"]) else "–", "small": "", "why": r["note"]},
            {"text": str(r["n"]), "small": f"{r['patients']} patients"}]}
        for r in table.head(MOST).to_dict("records")
    ]  # fmt: skip
    more = f" Not shown: {len(table) - MOST} weaker ones." if len(table) > MOST else ""
    notes = [
        "Of levels: the level whose share differs most, and its share with and without the class; of numbers the means."
        " Intervals draw patients with replacement; p is of one case of each patient, Holm-corrected over all rows; "
        "beyond chance: p under 0.05, and the interval of a correlation excludes zero. An "
        f"association is no proof that a network uses it, and none is needed for it to be able to.{more}"
    ]
    head = ["what goes with it", "strength", "with", "without", "difference", "p", "cases"]
    return [panel("What goes with a class", line, notes=notes, table={"head": head, "rows": rows, "open": True})]


def _with(r: dict[Any, Any], side: str) -> str:
    if not is_number(r[side]):
        return "–"
    if r["measure"] == "cramer_v":
        return f"{r['level']} {100 * r[side]:.0f} %"
    return f"{r['level']} {number(np.float64(r[side]))}".strip()
