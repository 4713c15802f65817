"""From probabilities to answers: thresholds, and how true the probabilities are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pellucid.report.numbers import DASH, interval, is_number, number
from pellucid.report.pieces import Panel, listed, panel, picture
from pellucid.report.reliability import Bins, reliability_diagram
from pellucid.report.tables import OVER_ALL
from pellucid.study.store import Run

MOST = 6  # labels that are drawn
NAMES = {
    "ece_equal_mass": "error, bins of as many cases", "ece_equal_width": "error, bins of one width",
    "brier": "Brier score", "nll": "negative log-likelihood",
}  # fmt: skip


def answer_panels(run: Run, task: str) -> list[Panel]:
    """Thresholds and calibration of a classifier, where the run has measured them."""
    return [*_thresholds(run, task), *_calibration(run, task)]


def _thresholds(run: Run, task: str) -> list[Panel]:
    table = run.table("thresholds", task)
    if not len(table):
        return []
    rows = table.to_dict("records")
    without = [r for r in rows if not is_number(r["threshold"])]
    whys = dict.fromkeys(str(r["reason"]) for r in without)
    given = not without and all(r["reason"] for r in rows)
    line = (
        "; ".join(f"none for {listed([str(r['class']) for r in without if r['reason'] == w])}: {w}" for w in whys)
        or (str(rows[0]["reason"]) if given else f"each at its highest F1 on {_chosen_on(run, task)}")
    ) + "."
    notes = [
        "Above its threshold, a probability counts. Exclusive classes are predicted by the highest probability all the "
        "same; independent labels by their thresholds. A class without a threshold is never above it."
    ]
    cells = []
    for r in rows:
        had = f"{number(int(r['positives']))} of {number(int(r['n']))}" if is_number(r["n"]) else DASH
        texts = [number(r["threshold"]), number(r["f1"]), had]
        own = [{"text": t, "small": ""} for t in texts] + [{"text": "", "small": str(r["reason"])}]
        cells.append({"name": str(r["class"]), "control": False, "cells": own})
    crossed = _crossed(run, task)
    head = ["class", "threshold", f"F1 {'out of fold' if crossed else 'on validation'}",
            f"{'' if crossed else 'validation '}cases with it", ""]  # fmt: skip
    return [panel("Thresholds", line, notes=notes, table={"head": head, "rows": cells, "open": True})]


def _crossed(run: Run, task: str) -> bool:
    return run.recipe(task).get("cross_validation") is not None


def _chosen_on(run: Run, task: str) -> str:
    return "the out-of-fold predictions of the cross-validation" if _crossed(run, task) else "the validation cases"


def _calibration(run: Run, task: str) -> list[Panel]:
    table = run.table("calibration", task)
    if not len(table):
        return []
    fits = table[table["metric"] == "temperature"].to_dict("records")
    table = table[table["metric"] != "temperature"]
    parts = [p for p in dict.fromkeys(table["part"]) if p != "val"] + [p for p in ("val",) if p in set(table["part"])]
    states = {p: list(dict.fromkeys(table[table["part"] == p]["temperature"])) for p in parts}
    used = max(states[parts[0]], key=lambda t: t != 1)
    notes = [
        "Error: mean distance between the probability and how often it is so, over bins of cases. It is above 0 even "
        "where every probability is true; “by chance” is what it then would be with so many cases. Its interval lies "
        "too high for the same reason. Points: bins of as many cases, with 95 % bootstrap intervals over patients; "
        "below the diagonal the model is too sure. Bars: how many cases have which probability.",
    ]
    if fits and fits[0]["reason"]:
        notes.insert(0, f"Temperature {fits[0]['reason']}.")
    elif fits:
        fitted = f"{number(fits[0]['value'])} {interval(fits[0]['low'], fits[0]['high'])}".strip()
        notes.insert(0, f"Temperature {fitted}, fitted on {_chosen_on(run, task)}, which therefore are no test of it.")
    curve = run.table("reliability", task)
    drawn, left = _drawn(curve[curve["part"] == parts[0]])
    if left:
        notes.append(f"Drawn are the {len(drawn)} labels with most positive cases; not {listed(left)}.")
    columns = [(p, t) for p in parts for t in states[p]]
    return [
        panel(
            "How true the probabilities are", _line(table, parts[0], states[parts[0]]),
            picture=_picture(run, task, parts, drawn, used), notes=notes, table=_numbers(table, columns),
        )
    ]  # fmt: skip


def _line(table: pd.DataFrame, part: str, temperatures: Sequence[float]) -> str:
    said = []
    for t in temperatures:
        own = table[(table["part"] == part) & (table["temperature"] == t) & (table["metric"] == "ece_equal_mass")]
        row = own.iloc[0]
        said.append(f"{number(row['value'])} {_state(t)} (by chance {number(row['by_chance'])})")
    which = {"macro": " on average over the labels", "all": ""}.get(str(row["class"]), f" of {row['class']}")
    return f"{part}: error of the probabilities{which} {', '.join(said)}."


def _state(temperature: float) -> str:
    return "as trained" if temperature == 1 else f"with temperature {number(temperature)}"


def _numbers(table: pd.DataFrame, columns: Sequence[tuple[str, float]]) -> dict[str, Any]:
    rows = []
    for (metric, of), own in table.groupby(["metric", "class"], sort=False):
        by = {(r["part"], r["temperature"]): r for r in own.to_dict("records")}
        found = [by.get(c, {}) for c in columns]
        cells = [
            {"text": number(r.get("value")), "small": " ".join(x for x in (
                interval(r.get("low"), r.get("high")),
                f"by chance {number(r['by_chance'])}" if is_number(r.get("by_chance")) else "") if x)}
            for r in found
        ]  # fmt: skip
        name = NAMES.get(str(metric), str(metric)) + {"all": "", "macro": ", mean"}.get(str(of), f", {of}")
        rows.append({"name": name, "control": False, "cells": cells})
    return {"head": ["measure, lower is better", *(f"{p}, {_state(t)}" for p, t in columns)], "rows": rows}


def _drawn(curve: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The labels that are drawn, those with most positive cases, and the others; both in the run's order."""
    names = [str(c) for c in dict.fromkeys(curve["class"])]
    found = curve.drop_duplicates(["class", "bin"])
    positive = (found["count"] * found["observed"]).groupby(found["class"].astype(str)).sum()
    first = set(sorted(names, key=lambda c: -positive[c])[:MOST])
    return [c for c in names if c in first], [c for c in names if c not in first]


def _picture(run: Run, task: str, parts: Sequence[str], classes: Sequence[str], used: float) -> dict[str, str] | None:
    """One panel per part where one thing is asked; one per label, of the first part, where there are several."""
    curve = run.table("reliability", task)
    asked = [(p, classes[0]) for p in parts] if len(classes) == 1 else [(parts[0], c) for c in classes]
    panels, said = {}, []
    for part, of in asked:
        own = curve[(curve["part"] == part) & (curve["class"] == of)]
        fitted = ", fitted here" if part == "val" and used != 1 else ""
        title = f"{part}{fitted}" if len(classes) == 1 else f"{of} ({part})"
        values = _values(run, task, part, of)
        lines = []
        for t in dict.fromkeys(own["temperature"]):
            mine = own[own["temperature"] == t]
            x, y, low, high = (mine[c].to_numpy(float) for c in ("confidence", "observed", "low", "high"))
            lines.append(Bins(_state(t), x, y, low, high, last=t == used))
        panels[title] = (lines, values)
        points = zip(lines[-1].x, lines[-1].y)
        said.append(f"{title}: " + ", ".join(f"{number(float(c))} is so in {number(float(o))}" for c, o in points))
    if not panels:
        return None
    what = "probability of the answer" if list(classes) == ["all"] else "probability"
    return picture(reliability_diagram(panels, what=what), "Reliability diagram. " + "; ".join(said) + ".")


def _values(run: Run, task: str, part: str, of: str) -> list[float]:
    """The probabilities that the curve is of, one per case, as the model gives them."""
    table = run.table("predictions", task)
    own = table[table["part"] == part]
    if of in OVER_ALL:
        return [float(v) for v in own.groupby("case")["value"].max()]
    return [float(v) for v in own[own["class"] == of]["value"]]
