"""Certainty put to use: do the measures of certainty tell the cases that the model gets wrong?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pellucid.report.curves import Line, risk_coverage
from pellucid.report.judge import CONTROLS
from pellucid.report.numbers import interval, is_number, number
from pellucid.report.pieces import Panel, panel, picture
from pellucid.study.store import Run

LIT, MOST = 4, 3  # curves in colour; panels side by side


def detector_panel(run: Run, task: str, order: Sequence[str]) -> list[Panel]:
    """Area under the ROC curve of each measure and method as a detector of errors, and risk by coverage."""
    table = run.table("detector", task)
    if not len(table):
        return []
    place = {m: i for i, m in enumerate(order)}

    def standing(r: Any) -> tuple[bool, float, int]:
        method, auroc = str(r["method"]), float(r["auroc"]) if is_number(r["auroc"]) else -1.0
        return method in CONTROLS, -auroc, place.get(method, 0)

    rows: list[dict[Any, Any]] = sorted(table.to_dict("records"), key=standing)
    known = [r for r in rows if is_number(r["auroc"])]
    shown = [
        {"name": str(r["method"]) or "–", "control": str(r["method"]) in CONTROLS, "cells": [
            {"text": str(r["metric"]).replace("_", " "), "small": ""},
            {"text": number(r["auroc"]), "small": interval(r.get("low"), r.get("high")) or str(r.get("note") or "")},
            {"text": number(r.get("p")), "small": ""},
            {"text": number(r.get("aurc")), "small": ""},
            {"text": number(r.get("e_aurc")), "small": ""},
            {"text": f"{number(r.get('wrong'))} of {number(r.get('n'))}", "small": ""}]}
        for r in rows
    ]  # fmt: skip
    notes = [
        "AUROC: how often the certainty is lower in a case that the model gets wrong than in one that it gets right; "
        "0.5 is chance. AURC: mean share of errors over all coverages, lower is better; excess AURC: the same less "
        "that of a perfect order. p: Mann–Whitney, not corrected for the number of rows."
    ]
    notes += [s for s in dict.fromkeys(str(r.get("note") or "") for r in rows) if s]
    line = "not to be said: " + (notes[-1] if len(notes) > 1 else "no case was right, or none wrong") + "."
    if known:
        sure = [r for r in known if is_number(r.get("low")) and float(r["low"]) > 0.5]
        best = known[0]
        line = f"best AUROC {number(best['auroc'])} ({str(best['metric']).replace('_', ' ')}, {best['method']}); "
        line += f"{len(sure)} of {len(known)} are better than chance."
    curves, alt = _curves(run, task, known)
    head = ["method", "measure", "AUROC [95 %]", "p", "AURC", "excess AURC", "wrong"]
    return [panel("Does certainty tell errors?", line, picture=picture(curves, alt) if curves else None,
                  table={"head": head, "rows": shown, "open": True}, notes=notes)]  # fmt: skip


def _curves(run: Run, task: str, known: Sequence[dict[Any, Any]]) -> tuple[Any, str]:
    table = run.table("risk_coverage", task)
    if not len(table) or not known:
        return None, ""
    panels: dict[str, list[Line]] = {}
    said = []
    for metric in list(dict.fromkeys(str(r["metric"]) for r in known))[:MOST]:
        own = table[table["metric"] == metric]
        methods = [str(r["method"]) for r in known if str(r["metric"]) == metric]
        lit = [m for m in methods if m not in CONTROLS][:LIT]
        lines = []
        for method in methods:
            mine = own[(own["method"] == method) & own["risk"].notna()].sort_values("coverage")
            if len(mine):
                lines.append(Line(method, mine["coverage"].tolist(), mine["risk"].tolist(), lit=method in lit,
                                  control=method in CONTROLS))  # fmt: skip
        if lines:
            overall = lines[0].y[-1]
            lines.append(Line("knows nothing", (0.0, 1.0), (overall, overall), lit=False, control=True))
            panels[metric.replace("_", " ")] = lines
            said += [f"{metric}, {v.name}: {number(v.y[len(v.y) // 2])} at half" for v in lines if v.lit]
    if not panels:
        return None, ""
    return risk_coverage(panels), "Share of errors by share of cases kept: " + "; ".join(said)
