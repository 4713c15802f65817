"""Certainty put to use: do the measures of a map tell the cases that the model gets wrong?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pellucid.report.curves import Line, risk_coverage
from pellucid.report.judge import FEWEST, is_control, question_of
from pellucid.report.numbers import interval, is_number, number
from pellucid.report.pieces import Panel, count, listed, panel, picture
from pellucid.study.store import Run

BESIDE = ("over_confidence", "over_random")
LIT, MOST, WIDEST = 3, 3, 6  # curves in colour; panels side by side; measures in a table
Rows = list[dict[Any, Any]]


def detector_panel(run: Run, task: str, order: Sequence[str]) -> list[Panel]:
    """Area under the ROC curve of each measure and method as a detector of errors, and risk by coverage.

    Measures of certainty come first and have the picture; where there are none, those of plausibility.
    """
    table, metrics = run.table("detector", task), run.info.get("metrics", {})
    if not len(table):
        return []
    names = [str(m) for m in dict.fromkeys(table["metric"])]
    sure = [m for m in names if question_of(m, metrics) == "certainty"] or names
    names = sure + [m for m in names if m not in sure]
    rows: Rows = table.to_dict("records")
    known = [r for r in rows if is_number(r["auroc"])]
    notes = list(dict.fromkeys(f"{r['note']}." for r in rows if r.get("note")))
    main = [r for r in known if str(r["metric"]) in sure and not is_control(str(r["method"]))]
    if not main:
        return [panel("Does certainty tell errors?", notes[0] if notes else "there is no AUROC.")]
    best = max(main, key=lambda r: float(r["auroc"]))
    better = [r for r in main if is_number(r.get("low")) and float(r["low"]) > 0.5]
    most = max(rows, key=lambda r: r["n"] if is_number(r["n"]) else 0)
    rarer = min(int(most["wrong"]), int(most["n"]) - int(most["wrong"]))
    line = (
        f"only {count(rarer, 'prediction')} {'was' if rarer == 1 else 'were'} "
        f"{'wrong' if rarer == most['wrong'] else 'right'}: too few to say."
        if rarer < FEWEST
        else f"best AUROC {number(best['auroc'])} {interval(best.get('low'), best.get('high'))} "
        f"({_name(best['metric'])}, {best['method']}); {len(better)} of {len(main)} are better than chance, "
        f"{0.025 * len(main):.0f} would be by chance alone."
    )
    if is_number(best.get("confidence")) and rarer >= FEWEST:
        beat = [r for r in main if is_number(r.get("over_confidence_low")) and float(r["over_confidence_low"]) > 0]
        named = f" ({listed([_called(r) for r in beat])})" if beat else ""
        line += (
            f" The model’s own confidence: {number(best.get('confidence'))} on the same predictions; "
            f"{len(beat) or 'none'} of {len(main)} {'is' if len(beat) == 1 else 'are'} better than it{named}."
        )
    notes = [
        f"The model was wrong in {number(most['wrong'])} of {count(most['n'], 'prediction')}. AUROC: how often a right "
        "prediction is more certain than a wrong one; 0.5 is chance. AURC: mean share of errors over all coverages, "
        "lower is better; excess AURC: the same less that of a perfect order. p: Mann–Whitney, not corrected for the "
        "number of measures and methods. Less confidence, less random: the AUROC minus that of the model’s confidence, "
        "or of the same measure of a random map (of a masked map: through that mask), on the same predictions, with "
        "the paired interval.",
        *notes,
    ]
    methods = [m for m in order if m in set(table["method"])]
    tables = [_aurocs(rows, names[k : k + WIDEST], methods) for k in range(0, len(names), WIDEST)]
    curves = _curves(run, task, [r for r in known if str(r["metric"]) in sure], sure)
    full = [r for r in rows if str(r["metric"]) in sure]
    more = [("Other measures as detectors", t) for t in tables[1:]] + [("The numbers", _numbers(full, methods))]
    return [panel("Does certainty tell errors?", line, picture=curves, table=tables[0] | {"open": True}, notes=notes,
                  more=more)]  # fmt: skip


def _aurocs(rows: Rows, names: Sequence[str], methods: Sequence[str]) -> dict[str, Any]:
    by = {(str(r["metric"]), str(r["method"])): r for r in rows}
    shown = []
    for method in methods:
        own = [by.get((n, method), {}) for n in names]
        cells = [{"text": number(r.get("auroc")), "small": interval(r.get("low"), r.get("high"))} for r in own]
        shown.append({"name": method, "control": is_control(method), "cells": cells})
    return {"head": ["AUROC", *(_name(n) for n in names)], "rows": shown}


def _numbers(rows: Rows, methods: Sequence[str]) -> dict[str, Any]:
    shown = [
        {"name": method, "control": is_control(method), "cells": [
            {"text": _name(r["metric"]), "small": ""},
            *({"text": number(r.get(k)), "small": ""} for k in ("auroc", "p", "aurc", "e_aurc")),
            *({"text": number(r.get(k)), "small": interval(r.get(f"{k}_low"), r.get(f"{k}_high"))} for k in BESIDE),
            {"text": f"{number(r.get('wrong'))} of {number(r.get('n'))}", "small": ""}]}
        for method in methods for r in rows if str(r["method"]) == method
    ]  # fmt: skip
    head = ["method", "measure", "AUROC", "p", "AURC", "excess AURC", "less confidence", "less random", "wrong"]
    return {"head": head, "rows": shown}


def _curves(run: Run, task: str, known: Rows, names: Sequence[str]) -> dict[str, str] | None:
    table = run.table("risk_coverage", task)
    panels: dict[str, list[Line]] = {}
    said = []
    for metric in names if len(table) else ():
        own = table[(table["metric"] == metric) & table["risk"].notna()]
        ranked = sorted((r for r in known if str(r["metric"]) == metric), key=lambda r: -float(r["auroc"]))
        lit = [str(r["method"]) for r in ranked if not is_control(str(r["method"]))][:LIT]
        lines = []
        for method in [str(r["method"]) for r in ranked]:
            mine = own[own["method"] == method].sort_values("coverage", kind="stable")
            if len(mine):
                lines.append(Line(method, mine["coverage"].tolist(), mine["risk"].tolist(), lit=method in lit,
                                  control=is_control(method)))  # fmt: skip
        if lines and len(panels) < MOST:
            overall = lines[0].y[-1]
            lines.append(Line("knows nothing", (0.0, 1.0), (overall, overall), chance=True))
            panels[_name(metric)] = lines
            told = [v for v in lines if v.lit and not v.chance]
            said += [f"{_name(metric)}, {v.name}: {number(v.y[len(v.y) // 2])} at half" for v in told]
    if not panels:
        return None
    return picture(risk_coverage(panels), "Share of errors by share of cases kept: " + "; ".join(said))


def _called(r: dict[Any, Any]) -> str:
    return f"{_name(r['metric'])} of {r['method']}"


def _name(metric: Any) -> str:
    return str(metric).replace("_", " ")
