"""The numbers of one task as rows for the page: data, performance, scores, verdicts, regions, cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pellucid.report.judge import CONTROLS, base, question_of
from pellucid.report.numbers import DASH, interval, is_number, mean_interval, number, percent
from pellucid.study.store import Run

ARROWS = {"higher": "↑", "lower": "↓", "none": ""}
TABLES = (
    ("Faithfulness: does the output follow what the map marks?", ("faithfulness",)),
    ("Plausibility: does the map lie where a person would look?", ("plausibility",)),
    ("Stability, sanity, complexity", ("stability", "sanity", "complexity", "")),
)
WIDEST = 7  # columns of a table that fit on paper
Cell = dict[str, Any]


def data_rows(run: Run, task: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows: cases and patients by part, and what the truth is like in each."""
    table, model = run.table("data", task), run.recipe(task)["model"]
    if not len(table):
        return [], []
    kind = {"classification": "truth", "regression": "true score, median (range)",
            "segmentation": "labelled pixels, median (range)"}[model["task"]]  # fmt: skip
    rows = []
    for part, own in table.groupby("part", sort=False):
        patients = own["group"].nunique() if "group" in own else None
        rows.append([str(part), number(len(own)), number(patients), _truth(own["truth"], model)])
    return ["part", "cases", "patients", kind], rows


def patients_shared(run: Run, task: str) -> int:
    """How many patients are in more than one part."""
    table = run.table("data", task)
    return int((table.groupby("group")["part"].nunique() > 1).sum()) if "group" in table else 0


def failures(run: Run, task: str) -> list[tuple[str, str, str]]:
    """``(stage, case, reason)`` of everything that failed."""
    rows = run.ledger.rows()
    mine = rows[(rows["task"] == task) & (rows["state"] == "failed")]
    return [(str(r.stage), str(r.item), str(r.error)) for r in mine.itertuples()]


def performance_tables(run: Run, task: str) -> list[Cell]:
    """One table per part: metrics down, strata across."""
    table = run.table("performance", task)
    if not len(table):
        return []
    found = []
    used = {"val": "validation cases, which chose the epoch: not held out", "test": "held-out cases"}
    parts = [p for p in dict.fromkeys(table["part"]) if p != "val"] + [p for p in ("val",) if p in set(table["part"])]
    for part in parts:
        own = table[table["part"] == part]
        strata = list(dict.fromkeys(own["stratum"]))
        rows = []
        for (metric, of), cells in own.groupby(["metric", "class"], sort=False, dropna=False):
            by = {str(c["stratum"]): c for c in cells.to_dict("records")}
            rows.append({"name": str(metric), "of": "" if pd.isna(of) else str(of),
                         "cells": [_value(by.get(s)) for s in strata]})  # fmt: skip
        found.append({"part": str(part), "about": used.get(str(part), "further cases, never trained on"),
                      "strata": strata, "rows": rows})  # fmt: skip
    return found


def score_tables(run: Run, task: str, order: Sequence[str]) -> list[Cell]:
    """Methods down (in ``order``, controls apart), metrics across, by question."""
    table, metrics = run.table("comparison", task), run.info.get("metrics", {})
    if not len(table):
        return []
    found = []
    for title, questions in TABLES:
        names = [m for m in dict.fromkeys(table["metric"]) if question_of(m, metrics) in questions]
        for start in range(0, len(names), WIDEST):
            heads = names[start : start + WIDEST]
            found.append(_score_table(run, task, table, heads, order, title + (" (continued)" if start else "")))
    return found


def _score_table(
    run: Run, task: str, table: pd.DataFrame, heads: list[str], order: Sequence[str], title: str
) -> Cell:
    by = {(str(r["metric"]), str(r["method"])): r for r in table.to_dict("records")}
    rows = [
        {"method": m, "control": m in CONTROLS,
         "cells": [_score(by.get((h, m)), table[table["metric"] == h]) for h in heads]}
        for m in order if any((h, m) in by for h in heads)
    ]  # fmt: skip
    columns = [
        {"name": h.replace("_", " "), "arrow": ARROWS.get(str(table[table["metric"] == h]["direction"].iloc[0]), "")}
        for h in heads
    ]
    return {"title": title, "columns": columns, "rows": rows, "notes": _undefined(run, task, heads)}


def _score(row: dict[str, Any] | None, same: pd.DataFrame) -> Cell:
    if row is None:
        return {"text": DASH, "interval": "", "shade": "", "mark": "", "why": "not computed"}
    shade = ""
    known = same["mean"].dropna()
    if row["direction"] in ("higher", "lower") and is_number(row["mean"]) and len(known) > 1:
        span = float(known.max() - known.min())
        place = (float(row["mean"]) - float(known.min())) / span if span > 0 else 0.5
        shade = f"h{round(5 * (place if row['direction'] == 'higher' else 1 - place))}"
    sign = {"higher": 1, "lower": -1}.get(row["direction"], 0)
    low, high = row.get("difference_low"), row.get("difference_high")
    mark = ""
    if sign and is_number(low) and is_number(high) and not low <= 0 <= high:
        mark = "better" if (low > 0) == (sign > 0) else "worse"
    why = str(row.get("note") or "")
    return {"text": number(row["mean"]), "interval": interval(row["low"], row["high"]), "shade": shade, "mark": mark,
            "why": why if not is_number(row["mean"]) or not is_number(row["low"]) else "", "n": number(row["n"])}  # fmt: skip


def _undefined(run: Run, task: str, names: Sequence[str]) -> list[str]:
    scores = run.table("scores", task)
    notes = []
    for name in names:
        own = scores[(scores["metric"] == name) & scores["value"].isna()] if len(scores) else scores
        for (method, reason), rows in own.groupby(["method", "reason"], sort=False) if len(own) else ():
            notes.append(f"{name.replace('_', ' ')}, {method}: undefined for {len(rows)} map(s): {reason}")
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
        rows.append({"method": method, "control": method in CONTROLS, "cells": cells, "says": _says(own, checks)})
    return {"checks": [c.replace("_", " ") for c in checks], "rows": rows}


def _says(own: pd.DataFrame, checks: Sequence[str]) -> list[str]:
    found = []
    for check in checks:
        rows = own[own["check"] == check]
        bad = rows[rows["status"].isin(("fail", "warn"))]
        if len(bad):
            worst = (bad[bad["status"] == "fail"] if (bad["status"] == "fail").any() else bad).iloc[0]
            found.append(
                f"{check.replace('_', ' ')}: {len(bad)} of {len(rows)} maps; case {worst['case']}: {worst['sentence']}"
            )
    untested = own[own["status"] == "not tested"]
    for (check, sentence), rows in untested.groupby(["check", "sentence"], sort=False) if len(untested) else ():
        found.append(f"{check.replace('_', ' ')}: not tested for {len(rows)} maps. {sentence}")
    return found or ["Every check passes on every map."]


def region_tables(run: Run, task: str, order: Sequence[str]) -> Cell | None:
    """Methods down, regions across: share of the map's mass in the region, and how that compares with its size."""
    table = run.table("regions", task)
    if not len(table):
        return None
    data = run.table("data", task)
    owner = dict(zip(data["case"], data["group"])) if "group" in data else {}
    regions = list(dict.fromkeys(table["region"]))
    mean = table.groupby(["method", "region", "measure", "case"], sort=False)["value"].mean().sort_index()
    known = set(mean.index.droplevel("case"))

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
            cells.append({"mass": number(mass[0]), "interval": interval(mass[1], mass[2]),
                          "enrichment": number(enrichment[0]),
                          "enrichment_interval": interval(enrichment[1], enrichment[2])})  # fmt: skip
        rows.append({"method": method, "control": method in CONTROLS, "cells": cells})
    share = [cell(rows[0]["method"], r, "share")[0] for r in regions] if rows else []
    return {"regions": regions, "share": [number(s) for s in share], "rows": rows}


def cost_rows(run: Run, task: str, order: Sequence[str]) -> list[Cell]:
    """Mean passes and seconds of a map, by method."""
    table = run.table("costs", task)
    rows = []
    for method in order:
        own = table[table["method"] == method] if len(table) else table
        if len(own):
            peak = own["peak_bytes"].max() if "peak_bytes" in own else float("nan")
            rows.append({
                "method": method, "control": method in CONTROLS, "n": number(len(own)),
                "forwards": number(float(own["forwards"].mean())), "backwards": number(float(own["backwards"].mean())),
                "seconds": number(float(own["seconds"].mean())), "passes": float((own["forwards"] + own["backwards"]).mean()),
                "peak": number(float(peak) / 2**20) + " MiB" if is_number(peak) else DASH,
            })  # fmt: skip
    return rows


def glossary(run: Run) -> list[Cell]:
    """The metrics that were used: direction, range, unit, one line, source."""
    known = run.info.get("metrics", {})
    used = {base(str(m)) for t in run.tasks for m in run.table("comparison", t).get("metric", [])}
    words = {"higher": "↑ higher is better", "lower": "↓ lower is better", "none": "no better or worse"}
    rows = []
    for name in sorted(used):
        m = known.get(name, {})
        low, high = (_bound(m.get(k)) for k in ("low", "high"))
        rows.append({
            "name": name.replace("_", " "), "question": m.get("question", ""),
            "direction": words.get(str(m.get("direction")), DASH), "range": f"{low} to {high}",
            "unit": m.get("unit") or DASH, "summary": m.get("summary") or DASH, "source": m.get("source") or DASH,
        })  # fmt: skip
    return rows


def _bound(value: Any) -> str:
    if isinstance(value, str):
        return {"inf": "∞", "-inf": "−∞"}.get(value, value)
    return number(value)


def _value(row: dict[str, Any] | None) -> Cell:
    if row is None:
        return {"text": DASH, "interval": "", "n": "", "why": "not computed"}
    return {"text": number(row["value"]), "interval": interval(row["low"], row["high"]), "n": number(int(row["n"])),
            "why": str(row.get("reason") or "")}  # fmt: skip


def _truth(truth: pd.Series, model: dict[str, Any]) -> str:
    known = truth.dropna().astype(str)
    if not len(known):
        return "unknown"
    classes = [str(c) for c in model.get("classes") or ()]
    if model["task"] == "classification":
        if known.str.contains("|", regex=False).any():
            flags = known.str.split("|", expand=True).apply(pd.to_numeric, errors="coerce")
            return ", ".join(f"{_class(classes, int(k))} {int(flags[k].sum())}" for k in flags)
        counts = known.value_counts().sort_index()
        return ", ".join(f"{_class(classes, k)} {n} ({percent(n, len(known))})" for k, n in counts.items())
    values = pd.to_numeric(known, errors="coerce").dropna()
    if not len(values):
        return "unknown"
    return f"{number(float(values.median()))} ({number(float(values.min()))} to {number(float(values.max()))})"


def _class(classes: Sequence[str], k: Any) -> str:
    return classes[int(k)] if str(k).isdigit() and int(k) < len(classes) else str(k)
