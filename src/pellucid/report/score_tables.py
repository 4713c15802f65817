"""The judgement of one task's maps as rows for the page: scores, verdicts, evidence by region."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pellucid.report.judge import RANKED, base, is_control, question_of
from pellucid.report.numbers import DASH, interval, is_number, mean_interval, number
from pellucid.study.store import Run

ARROWS = {"higher": "↑", "lower": "↓", "none": ""}
QUESTIONS = {
    "faithfulness": "Faithfulness: does the output follow what the map marks?",
    "plausibility": "Plausibility: does the map lie where a person would look?",
    "certainty": "Certainty: does the map tell how sure the model may be?",
    "stability": "Stability: does the map stay as it is under small changes of the picture?",
    "sanity": "Sanity: does the map change when the model does?",
    "axiom": "Axioms: does the map keep what such maps promise?",
    "complexity": "Complexity: is the map short enough to be read?",
    "modality": "Modalities: does the map divide itself among the inputs as the model does?",
    "cost": "Cost",
    "": "Other",
}
WIDEST = 7  # columns of a table that fit on paper
Cell = dict[str, Any]


def score_tables(run: Run, task: str, order: Sequence[str]) -> list[Cell]:
    """One group per question: methods down (in ``order``, controls apart), measures across, as wide as paper allows.

    Shares of the inputs are no scores; they are drawn elsewhere.
    """
    table, metrics = run.table("comparison", task), run.info.get("metrics", {})
    if not len(table):
        return []
    found = []
    names = [str(m) for m in dict.fromkeys(table["metric"]) if not is_share(str(m), metrics)]
    for question, title in QUESTIONS.items():
        own = [m for m in names if _group(m, metrics) == question]
        if own:
            parts = [own[k : k + WIDEST] for k in range(0, len(own), WIDEST)]
            found.append(
                {
                    "title": title,
                    "main": question in RANKED,
                    "names": ", ".join(m.replace("_", " ") for m in own),
                    "more": ", ".join(m.replace("_", " ") for m in own[WIDEST:]),
                    "tables": [_score_table(table, part, order, metrics) for part in parts],
                    "notes": _undefined(run, task, own),
                }
            )
    return found


def is_share(metric: str, metrics: Mapping[str, Any]) -> bool:
    """Whether a metric says how much an input counts, which is neither good nor bad."""
    return question_of(metric, metrics) == "modality" and base(metric).endswith("_share")


def _group(metric: str, metrics: Mapping[str, Any]) -> str:
    question = question_of(metric, metrics)
    return question if question in QUESTIONS else ""


def _score_table(table: pd.DataFrame, heads: list[str], order: Sequence[str], metrics: Mapping[str, Any]) -> Cell:
    by = {(str(r["metric"]), str(r["method"])): r for r in table.to_dict("records")}
    # A random map is perfectly stable: only these questions are ones in which it can be beaten in earnest.
    against = {h for h in heads if question_of(h, metrics) in RANKED}
    rows = [
        {
            "method": m,
            "control": is_control(m),
            "cells": [_score(by.get((h, m)), table[table["metric"] == h], against=h in against) for h in heads],
        }
        for m in order
        if any((h, m) in by for h in heads)
    ]
    columns = [
        {"name": h.replace("_", " "), "arrow": ARROWS.get(str(table[table["metric"] == h]["direction"].iloc[0]), "")}
        for h in heads
    ]
    return {"columns": columns, "rows": rows}


def _score(row: Mapping[Any, Any] | None, same: pd.DataFrame, *, against: bool) -> Cell:
    if row is None:
        return {"text": DASH, "interval": "", "shade": "", "mark": "", "why": "not computed"}
    shade = ""
    known = same["mean"].dropna()
    if row["direction"] in ("higher", "lower") and is_number(row["mean"]) and len(known) > 1:
        span = float(known.max() - known.min())
        place = (float(row["mean"]) - float(known.min())) / span if span > 0 else 0.5
        shade = f"h{round(5 * (place if row['direction'] == 'higher' else 1 - place))}"
    sign = {"higher": 1, "lower": -1}.get(row["direction"], 0)
    low, high = (float(row.get(k, math.nan)) for k in ("difference_low", "difference_high"))
    mark = ""
    if against and sign and is_number(low) and is_number(high) and not low <= 0 <= high:
        mark = "better" if (low > 0) == (sign > 0) else "worse"
    why = str(row.get("note") or "")
    return {
        "text": number(row["mean"]),
        "interval": interval(row["low"], row["high"]),
        "shade": shade,
        "mark": mark,
        "why": why if not is_number(row["mean"]) or not is_number(row["low"]) else "",
        "n": number(row["n"]),
    }


def _undefined(run: Run, task: str, names: Sequence[str]) -> list[str]:
    scores = run.table("scores", task)
    notes = []
    for name in names:
        own = scores[(scores["metric"] == name) & scores["value"].isna()] if len(scores) else scores
        for reason, rows in own.groupby("reason", sort=False) if len(own) else ():
            methods = list(dict.fromkeys(rows["method"].astype(str)))
            everyone = len(methods) > 1 and len(methods) == scores["method"].nunique()
            who = "every method" if everyone else ", ".join(methods)
            notes.append(f"{name.replace('_', ' ')}, {who}: undefined for {len(rows)} map(s): {reason}")
    return notes


def verdict_table(run: Run, task: str, order: Sequence[str]) -> Cell | None:
    """Methods down, checks across, counts; and what is wrong in a sentence."""
    table = run.table("verdicts", task)
    if not len(table):
        return None
    checks = list(dict.fromkeys(table["check"]))
    rows = []
    for method in order:
        own = table[table["method"] == method]
        if not len(own):
            continue
        cells = []
        for check in checks:
            counts = own[own["check"] == check]["status"].value_counts()
            cells.append([(s, int(counts[s])) for s in ("fail", "warn", "pass", "not tested") if s in counts])
        rows.append({"method": method, "control": is_control(method), "cells": cells, "says": _says(own, checks)})
    return {"checks": [c.replace("_", " ") for c in checks], "rows": rows}


def _says(own: pd.DataFrame, checks: Sequence[str]) -> list[str]:
    found = []
    for check in checks:
        rows = own[own["check"] == check]
        bad = rows[rows["status"].isin(("fail", "warn"))]
        if len(bad):
            worst = (bad[bad["status"] == "fail"] if (bad["status"] == "fail").any() else bad).iloc[0]
            found.append(
                f"{check.replace('_', ' ')}: {len(bad)} of {len(rows)} maps, such as case "
                f"{worst['case']}: {worst['sentence']}"
            )
    untested = own[own["status"] == "not tested"]
    for (name, sentence), rows in untested.groupby(["check", "sentence"], sort=False) if len(untested) else ():
        found.append(f"{str(name).replace('_', ' ')}: not tested for {len(rows)} maps. {sentence}")
    return found or ["Every check passes on every map."]


def region_tables(run: Run, task: str, order: Sequence[str]) -> Cell | None:
    """Methods down, regions across: share of the map's mass in the region, and how that compares with its size."""
    table = run.table("regions", task)
    if "of" in table:  # the aggregation's rows have a section of their own
        table = table[table["of"].isna()]
    if not len(table):
        return None
    data = run.table("data", task)
    owner = dict(zip(data["case"], data["group"])) if "group" in data else {}
    regions = list(dict.fromkeys(table["region"]))
    mean = table.groupby(["method", "region", "measure", "case"], sort=False)["value"].mean().sort_index()
    known = {tuple(k[:3]) for k in mean.index}

    def cell(method: str, region: str, measure: str) -> tuple[float, float, float, int]:
        if (method, region, measure) not in known:
            return float("nan"), float("nan"), float("nan"), 0
        values = mean[method, region, measure]
        return mean_interval(values.to_numpy(), [owner.get(c, c) for c in values.index])

    rows = []
    for method in order:
        if method not in set(table["method"]):
            continue
        cells = []
        for region in regions:
            mass, enrichment = cell(method, region, "mass"), cell(method, region, "enrichment")
            cells.append(
                {
                    "mass": number(mass[0]),
                    "interval": interval(mass[1], mass[2]),
                    "enrichment": number(enrichment[0]),
                    "enrichment_interval": interval(enrichment[1], enrichment[2]),
                }
            )
        rows.append({"method": method, "control": is_control(method), "cells": cells})
    share = [cell(str(rows[0]["method"]), r, "share")[0] for r in regions] if rows else []
    return {"regions": regions, "share": [number(s) for s in share], "rows": rows}
