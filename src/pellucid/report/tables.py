"""The numbers of one task as rows for the page: data, performance, scores, verdicts, regions, cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pellucid.report.judge import base, is_control
from pellucid.report.numbers import DASH, interval, is_number, number, percent
from pellucid.study.store import Run

Cell = dict[str, Any]
OVER_ALL = ("all", "macro")
FEW = 4  # strata side by side; more go down the page
MANY = 3  # names of classes, "macro" among them, beyond which the classes go down the page


def data_rows(run: Run, task: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows: cases and patients by part, and what the truth is like in each."""
    table, model = run.table("data", task), run.recipe(task)["model"]
    if not len(table):
        return [], []
    kind = {
        "classification": "truth",
        "regression": "true score, median (range)",
        "segmentation": "labelled pixels or voxels, median (range)",
    }[model["task"]]
    rows = []
    for part, own in table.groupby("part", sort=False):
        patients = own["group"].nunique() if "group" in own else None
        rows.append([str(part), number(len(own)), number(patients), _truth(own["truth"], model)])
    return ["part", "cases", f"{grouped_by(run, task)}s", kind], rows


def grouped_by(run: Run, task: str) -> str:
    """What a group of cases is: ``patient``, or what the data set says that it knows in his place."""
    table = run.table("data", task)
    told = table["meta_group_is"].dropna().unique().tolist() if "meta_group_is" in table else []
    return str(told[0]) if len(told) == 1 else "patient"


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
    """One table per part: metrics down, strata across; or, of many strata, these down and the metrics across."""
    table = run.table("performance", task)
    if not len(table):
        return []
    found = []
    used = {"val": "validation cases, which chose the epoch: not held out", "test": "held-out cases"}
    parts = [p for p in dict.fromkeys(table["part"]) if p != "val"] + [p for p in ("val",) if p in set(table["part"])]
    for part in parts:
        own = table[table["part"] == part]
        about = used.get(str(part), "further cases, never trained on")
        if own["class"].nunique() > MANY:
            found.append({"part": str(part), "about": about, **_by_class(own[own["stratum"] == "all"])})
            own = own[own["class"].isin(OVER_ALL)] if own["stratum"].nunique() > 1 else own.head(0)
        strata = list(dict.fromkeys(own["stratum"]))
        if len(strata) > FEW or (len(strata) > 1 and set(own["class"]) <= set(OVER_ALL)):
            found += [{"part": str(part), "about": about, **t} for t in _by_level(own)]
            continue
        rows = []
        for (metric, of), cells in own.groupby(["metric", "class"], sort=False, dropna=False):
            by = {str(c["stratum"]): c for c in cells.to_dict("records")}
            rows.append(
                {
                    "name": str(metric).replace("_", " "),
                    "of": "" if pd.isna(of) or of == "all" else str(of),
                    "cells": [_value(by.get(s)) for s in strata],
                }
            )
        if rows:
            found.append({"part": str(part), "about": about, "corner": "measure", "strata": strata, "rows": rows})
    return found


def _by_class(own: pd.DataFrame) -> Cell:
    """Classes down, measures across: where there are many classes. What is over all of them comes first."""
    metrics = [str(m) for m in dict.fromkeys(own["metric"])]
    rows: list[Any] = own.to_dict("records")
    by: dict[tuple[str, str], Cell] = {(str(r["metric"]), str(r["class"])): r for r in rows}
    most = int(own["n"].max())
    empty = {"text": "", "interval": "", "n": "", "why": ""}  # such as the accuracy, which exclusive classes share

    def cell(metric: str, *names: str) -> Cell:
        found = next((by[metric, of] for of in names if (metric, of) in by), None)
        if found is None:
            return empty
        return _value(found) | ({"n": ""} if found["n"] in (0, most) else {})

    rows = [{"name": "over all", "of": f"n {number(most)}", "cells": [cell(m, *OVER_ALL) for m in metrics]}]
    for of in (str(c) for c in dict.fromkeys(own["class"]) if c not in OVER_ALL):
        rows.append({"name": of, "of": "", "cells": [cell(m, of) for m in metrics]})
    rows = [_said_once(row) for row in rows]
    return {"corner": "class", "strata": [m.replace("_", " ") for m in metrics], "rows": rows}


def _said_once(row: Cell) -> Cell:
    """What most numbers of a row say of themselves, beside its name."""
    all_of = [c["why"] for c in row["cells"]]
    why = pd.Series(all_of).mode()[0] if all(all_of) else ""  # else it would be read of a number that has none
    return row | {"note": why, "cells": [c | {"why": "" if c["why"] == why else c["why"]} for c in row["cells"]]}


def _by_level(own: pd.DataFrame) -> list[Cell]:
    """Levels down, measures across: where there are many levels. A table for each class; what is over all is one."""
    over = own["class"].isin(OVER_ALL)
    parts = [("", own[over]), *((str(of), rows) for of, rows in own[~over].groupby("class", sort=False))]
    found = []
    for of, rows in parts:
        metrics = [str(m) for m in dict.fromkeys(rows["metric"])]
        shown: list[Cell] = []
        for level, here in rows.groupby("stratum", sort=False):
            listed: list[Any] = here.drop_duplicates("metric").to_dict("records")
            by: dict[str, Cell] = {str(r["metric"]): r for r in listed}
            cells = [_value(by.get(m)) | {"n": ""} for m in metrics]
            name = "all cases" if level == "all" else str(level).replace("=", ": ", 1)
            shown.append(_said_once({"name": name, "of": f"n {number(int(here['n'].max()))}", "cells": cells}))
        if shown:
            corner = f"{of}: level" if of else "level"
            heads = [m.replace("_", " ") for m in metrics]
            found.append({"fold": "By sex, age and the like", "corner": corner, "strata": heads, "rows": shown})
    return found


def cost_rows(run: Run, task: str, order: Sequence[str]) -> list[Cell]:
    """Mean passes and seconds of a map, by method."""
    table = run.table("costs", task)
    rows = []
    for method in order:
        own = table[table["method"] == method] if len(table) else table
        if len(own):
            peak = own["peak_bytes"].max() if "peak_bytes" in own else float("nan")
            rows.append(
                {
                    "method": method,
                    "control": is_control(method),
                    "n": number(len(own)),
                    "forwards": _count(own["forwards"].mean()),
                    "backwards": _count(own["backwards"].mean()),
                    "seconds": number(float(own["seconds"].mean())),
                    "passes": float((own["forwards"] + own["backwards"]).mean()),
                    "peak": number(float(peak) / 2**20) + " MiB" if is_number(peak) else DASH,
                }
            )
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
        rows.append(
            {
                "name": name.replace("_", " "),
                "question": m.get("question", ""),
                "direction": words.get(str(m.get("direction")), DASH),
                "range": f"{low} to {high}",
                "unit": m.get("unit") or DASH,
                "summary": str(m.get("summary") or DASH).replace("``", ""),
                "source": m.get("source") or DASH,
            }
        )
    return rows


def _count(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def _bound(value: Any) -> str:
    if isinstance(value, str):
        return {"inf": "∞", "-inf": "−∞"}.get(value, value)
    return number(value)


def _value(row: dict[str, Any] | None) -> Cell:
    if row is None:
        return {"text": DASH, "interval": "", "n": "", "why": "not computed"}
    return {
        "text": number(row["value"]),
        "interval": interval(row["low"], row["high"]),
        "n": number(int(row["n"])),
        "why": str(row.get("reason") or ""),
    }


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
