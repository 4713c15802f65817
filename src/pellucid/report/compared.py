"""How the methods compare, as panels for the page: mean ranks, and places over choices of measures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pellucid.core.metric import QUESTIONS
from pellucid.report.judge import is_control
from pellucid.report.numbers import DASH, interval, is_number, number
from pellucid.report.pieces import Panel, count, listed, panel, picture
from pellucid.report.ranks import Place, Rank, critical_difference, place_ranges
from pellucid.study.store import Run

ALL = "all"


def by_question(run: Run, task: str) -> list[Panel]:
    """One panel per question that holds both: mean ranks, and places over choices of measures."""
    parts = [*ranking_panels(run, task), *aggregated_panels(run, task)]
    found = []
    for scope in (QUESTIONS[0], ALL, *QUESTIONS[1:]):
        own = [p for p in parts if p["scope"] == scope]
        if own:
            about = "all questions together" if scope == ALL else scope
            found.append(panel(f"Ranks: {about}", own[0]["line"], parts=own))
    return found


def ranking_panels(run: Run, task: str) -> list[Panel]:
    """One critical-difference diagram per question, faithfulness first; a metric of its own gets none."""
    table = run.table("ranking", task)
    if not len(table):
        return []
    scopes = [s for s in (QUESTIONS[0], ALL, *QUESTIONS[1:]) if s in set(table["scope"].astype(str))]
    return [_ranking(table[table["scope"] == s], s) for s in scopes]


def _ranking(own: pd.DataFrame, scope: str) -> Panel:
    own = own.sort_values(["mean_rank", "method"], kind="stable")
    ranks = [
        Rank(str(r["method"]), float(r["mean_rank"]), _names(r.get("cliques")), is_control(str(r["method"])))
        for r in own.to_dict("records")
    ]
    known = [r for r in ranks if np.isfinite(r.rank)]
    cd, p = (next((float(v) for v in own[k] if is_number(v)), None) for k in ("cd", "p"))
    n = int(own["n"].max()) if own["n"].notna().any() else 0
    notes = _notes(own)
    line = f"best mean rank {_who(known[0])} ({number(known[0].rank)})" if known else "no ranks"
    alike = [r.name for r in known[1:] if set(r.groups) & set(known[0].groups)]
    if alike and len(alike) == len(known) - 1:
        line += "; no two methods are told apart" if p is not None and p >= 0.05 else "; none is told from the first"
    elif alike:
        line += f", not told from {listed(alike)}"
    tested = f", Friedman p {_p(p)}" if p is not None else ""
    about = "all questions" if scope == ALL else scope
    rows = [
        {"name": str(r["method"]), "control": is_control(str(r["method"])),
         "cells": [{"text": _place(r.get("place")), "small": ""},
                   {"text": number(r["mean_rank"]), "small": interval(r.get("low"), r.get("high"))}]}
        for r in own.to_dict("records")
    ]  # fmt: skip
    alt = f"Mean ranks in {about}, 1 the best: " + ", ".join(f"{r.name} {number(r.rank)}" for r in known)
    alt += f". Critical difference {number(cd)}." if cd is not None else "."
    diagram = picture(critical_difference(ranks, cd=cd), alt)
    return panel(
        f"Mean ranks: {about}", f"{line} ({count(n, 'patient')}{tested}).", picture=diagram,
        scope=scope, table={"head": ["method", "place", "mean rank [95 %]"], "rows": rows}, notes=notes,
    )  # fmt: skip


def aggregated_panels(run: Run, task: str) -> list[Panel]:
    """Places by all measures of a question, and how far they move if other measures are chosen."""
    table = run.table("aggregated", task)
    if not len(table):
        return []
    questions = [q for q in (QUESTIONS[0], ALL, *QUESTIONS[1:]) if q in set(table["question"].astype(str))]
    several = [q for q in questions if not (table.loc[table["question"] == q, "metrics"] == 1).all()]
    return [_aggregated(table[table["question"] == q], q) for q in several]  # one measure leaves no choice


def _aggregated(own: pd.DataFrame, question: str) -> Panel:
    rows = own.sort_values(["place", "mean_rank", "method"], kind="stable").to_dict("records")
    places = [
        Place(str(r["method"]), float(r["place"]), _or_none(r.get("place_low")), _or_none(r.get("place_high")),
              _or_none(r.get("first")), is_control(str(r["method"])))
        for r in rows
    ]  # fmt: skip
    about = "all questions" if question == ALL else question
    known = [p for p in places if np.isfinite(p.place)]
    line = "no places"
    if known:
        top = known[0]
        line = f"first {_who(top)}"
        line += f", first in {100 * top.first:.0f} % of the choices" if top.first is not None else ""
    metrics, tau, tried = (rows[0].get(k) for k in ("metrics", "tau", "choices"))
    said = f"{count(metrics, 'measure')}"
    said += f", {count(tried, 'choice')} tried" if is_number(tried) else ""
    said += f", mean Kendall’s τ with all of them {number(tau)}" if is_number(tau) else ""
    notes = [str(v) for v in dict.fromkeys(r.get("note") or "" for r in rows) if v]
    cells = [
        {"name": p.name, "control": p.control, "cells": [
            {"text": _place(p.place), "small": f"{_place(p.low)} to {_place(p.high)}" if p.low is not None else ""},
            {"text": number(r.get("mean_rank")), "small": ""},
            {"text": DASH if p.first is None else f"{100 * p.first:.0f} %", "small": ""}]}
        for p, r in zip(places, rows)
    ]  # fmt: skip
    alt = f"Places in {about}: " + ", ".join(
        f"{p.name} {_place(p.place)}" + (f" ({_place(p.low)} to {_place(p.high)})" if p.low is not None else "")
        for p in known
    )
    return panel(
        f"If other measures were chosen: {about}", f"{line} ({said}).",
        picture=picture(place_ranges(places), alt), scope=question,
        table={"head": ["method", "place (range)", "mean rank", "first in"], "rows": cells}, notes=notes,
    )  # fmt: skip


def _notes(own: pd.DataFrame) -> list[str]:
    """What the table says of methods that have no rank, said once for all that share it."""
    said = own[own["note"].fillna("") != ""] if "note" in own else own[:0]
    return [
        f"{'' if len(rows) == len(own) else listed(rows['method'].astype(str).tolist()) + ': '}{text}."
        for text, rows in said.groupby("note", sort=False)
    ]


def _who(m: Rank | Place) -> str:
    return m.name + (", a control" if m.control else "")


def _place(value: Any) -> str:
    """A place, whole where it is."""
    return number(int(value)) if is_number(value) and float(value).is_integer() else number(value)


def _names(cliques: Any) -> tuple[str, ...]:
    return tuple(c.strip() for c in str(cliques).split(",") if c.strip()) if isinstance(cliques, str) else ()


def _or_none(value: Any) -> float | None:
    return float(value) if is_number(value) else None


def _p(value: Any) -> str:
    return "< 0.001" if float(value) < 0.001 else number(value)
