"""Is the model as good for everybody: the bias table on the page, a panel for each stratum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pellucid.report.charts import Bar
from pellucid.report.dots import level_dots
from pellucid.report.judge import FEWEST
from pellucid.report.numbers import DASH, interval, is_number, number, p_value
from pellucid.report.pieces import Panel, panel, picture
from pellucid.study.store import Run

LEVEL = 0.05
MOST_SAID = 8
MACRO, MEAN = "macro", "mean over classes"
NAMES = {"auroc": "AUROC", "calibration_in_the_large": "said too often"}
CHANCE = {"AUROC": 0.5, "said too often": 0.0}
NOTE = (
    "Each level against all other cases whose level is known; 95 % bootstrap intervals over patients, the same "
    "patients drawn for both. p is corrected (Holm) over all classes, strata and levels of a measure. A difference may "
    "come from who is in the level, sicker or photographed otherwise, and not from the model. That none is found is no "
    "proof that there is none: look at the widths. Said too often: the mean probability less the share of cases that "
    "have the class."
)


def bias_panels(run: Run, task: str) -> list[Panel]:
    """One panel per stratum of the part that is a test of the model, where the run has a bias table."""
    table = run.table("bias", task)
    if not len(table):
        return []
    part = next((p for p in dict.fromkeys(table["part"]) if p != "val"), str(table["part"].iloc[0]))
    own = table[table["part"] == part]
    return [_panel(str(name), rows, part) for name, rows in own.groupby("stratum", sort=False)]


def _panel(name: str, own: pd.DataFrame, part: str) -> Panel:
    levels = list(dict.fromkeys(str(v) for v in own["level"]))
    levels.sort(key=lambda v: (not v.startswith("under"), v))
    sizes: dict[str, Any] = {str(r["level"]): r for r in own.drop_duplicates("level").to_dict("records")}
    told = ", ".join(f"{v} {number(int(sizes[v]['n']))} ({number(int(sizes[v]['groups']))} patients)" for v in levels)
    compared = own[own["p"].notna()]
    two = len(levels) == 2
    once = compared[compared["level"] == levels[0]] if two else compared
    sure = once[once["p_holm"] < LEVEL].sort_values("p")
    title = f"Is it as good for all? By {name.replace('_', ' ')}"
    notes = [f"{part}. Cases: {told}. {NOTE}"]
    few = own[own["reason"].str.contains("fewer than", na=False)]
    if len(few):
        notes.append(_without(few))
    if not len(once):
        line = f"not compared: fewer than two levels with {FEWEST} patients and enough cases."
        return panel(title, line, notes=notes, table=_table(own, levels))
    points = [_said(r, two, levels) for r in sure.head(MOST_SAID).to_dict("records")]
    if len(sure) > MOST_SAID:
        points.append(f"… and {len(sure) - MOST_SAID} more.")
    line = f"{len(sure)} of {len(once)} comparisons differ after Holm’s correction."
    return panel(title, line, points=points, notes=notes, picture=_picture(own, levels), table=_table(own, levels))


def _said(r: Any, two: bool, levels: Sequence[str]) -> str:
    other = next(v for v in levels if v != r["level"]) if two else "the others"
    of = "" if r["class"] == MACRO else f" of {r['class']}"
    mean = ", mean over the classes," if r["class"] == MACRO else ""
    return (
        f"{_name(r['metric'])}{of}{mean} {number(r['value'])} in {r['level']}, {number(r['rest'])} in {other}: "
        f"difference {number(r['difference'])} {interval(r['difference_low'], r['difference_high'])}, "
        f"{p_value(float(r['p_holm']))} after Holm."
    )


def _without(few: pd.DataFrame) -> str:
    once = few[few["class"] != MACRO].drop_duplicates(["level", "class"])
    said = [f"{of}: {', '.join(rows['level'])}" for of, rows in once.groupby("class", sort=False)]
    return "No metric for want of cases with the class, or without it: " + "; ".join(said) + "."


def _picture(own: pd.DataFrame, levels: Sequence[str]) -> dict[str, str] | None:
    classes = [str(c) for c, rows in own.groupby("class", sort=False) if rows["value"].notna().any()]
    by: dict[tuple[str, str, str], Any] = {
        (str(r["metric"]), str(r["level"]), str(r["class"])): r for r in own.to_dict("records")
    }

    def bar(metric: str, level: str, of: str) -> Bar:
        r = by[metric, level, of]
        both = is_number(r["low"]) and is_number(r["high"])
        low, high = (float(r["low"]), float(r["high"])) if both else (None, None)
        return Bar(MEAN if of == MACRO else of, float(r["value"]), low, high)

    metrics = [str(m) for m in dict.fromkeys(own["metric"])]
    bars = {_name(m): {v: [bar(m, v, c) for c in classes] for v in levels} for m in metrics}
    alt = "; ".join(
        f"{t}, {v}: " + ", ".join(f"{b.name} {number(b.value)}" for b in found)
        for t, by_level in bars.items() for v, found in by_level.items()
    )  # fmt: skip
    return picture(level_dots(bars, lines=CHANCE, line_name="chance, or none"), alt)


def _table(own: pd.DataFrame, levels: Sequence[str]) -> dict[str, Any]:
    by: dict[tuple[str, str, str], Any] = {
        (str(r["class"]), str(r["metric"]), str(r["level"])): r for r in own.to_dict("records")
    }
    rows = []
    for of in dict.fromkeys(str(c) for c in own["class"]):
        for metric in dict.fromkeys(str(m) for m in own["metric"]):
            cells = []
            for level in levels:
                r = by[of, metric, level]
                against = ""
                if is_number(r["p"]):
                    gap = interval(r["difference_low"], r["difference_high"])
                    against = f"{number(r['difference'])} {gap} from the rest, {p_value(float(r['p_holm']))}"
                cells.append({
                    "text": number(r["value"]) if is_number(r["value"]) else DASH,
                    "small": interval(r["low"], r["high"]),
                    "why": "; ".join(w for w in (against, str(r["reason"])) if w),
                })  # fmt: skip
            rows.append({"name": f"{MEAN if of == MACRO else of}, {_name(metric)}", "control": False, "cells": cells})
    return {"head": ["", *levels], "rows": rows}


def _name(metric: str) -> str:
    return NAMES.get(metric, metric.replace("_", " "))
