"""Scores within strata: what differs between small and large lesions, sure and unsure cases, sites, ages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pellucid.core.refiner import as_refined
from pellucid.report.charts import Bar
from pellucid.report.dots import level_dots
from pellucid.report.judge import FEWEST, RANKED, is_control, question_of
from pellucid.report.numbers import interval, is_number, number
from pellucid.report.pieces import Panel, panel, picture
from pellucid.report.score_tables import ARROWS
from pellucid.study.store import Run

MOST_SAID = 8  # differences that are written out


def strata_panels(run: Run, task: str, order: Sequence[str]) -> list[Panel]:
    """One panel per stratum of which at least two levels have enough patients; a line on those that have not."""
    table = run.table("strata", task)
    if not len(table):
        return []
    metrics = run.info.get("metrics", {})
    directions = {str(r["metric"]): str(r["direction"]) for r in run.table("comparison", task).to_dict("records")}
    found, few = [], []
    for stratum, own in table.groupby("stratum", sort=False):
        usable = own[own["mean"].notna() & own["low"].notna() & (own["groups"] >= FEWEST)]
        if usable["level"].nunique() < 2:
            few.append(str(stratum))
        else:
            main = _main(usable, metrics, directions)
            found.append(_panel(str(stratum).replace("_", " "), usable, order, directions, main))
    if few:
        said = f"fewer than two levels with {FEWEST} patients or more."
        found.append(panel("Not compared: " + ", ".join(s.replace("_", " ") for s in few), said))
    return found


def differences(own: pd.DataFrame, directions: dict[str, str]) -> tuple[list[str], int, int]:
    """Sentences on methods whose means in two levels have intervals that do not overlap.

    The clearest come first: those with the largest gap for the width of their intervals. Left out are measures in which
    the random map differs too, because these depend on the stratum by themselves.

    Returns:
        The sentences, how many were left out, and how many pairs of measure and method were looked at.
    """
    found: list[tuple[float, str]] = []
    looked = left_out = 0
    apart: dict[tuple[str, str], tuple[Any, Any] | None] = {}
    for (metric, method), rows in own.groupby(["metric", "method"], sort=False):
        known = rows[rows["low"].notna() & rows["high"].notna()].sort_values("mean", kind="stable")
        if len(known) < 2 or directions.get(str(metric), "none") == "none":
            continue
        low, high = known.iloc[0], known.iloc[-1]
        apart[str(metric), str(method)] = (low, high) if float(low["high"]) < float(high["low"]) else None
    for (metric, method), pair in apart.items():
        if is_control(method):
            continue
        looked += 1
        if pair is None:
            continue
        if apart.get((metric, as_refined(str(method), "random"))) is not None:
            left_out += 1
            continue
        low, high = pair
        text = (
            f"{metric.replace('_', ' ')} of {method}: {number(high['mean'])} {interval(high['low'], high['high'])} in "
            f"{high['level']}, {number(low['mean'])} {interval(low['low'], low['high'])} in {low['level']}"
        )
        spread = float(high["high"] - high["low"] + low["high"] - low["low"]) or 1e-12
        found.append((float(high["mean"] - low["mean"]) / spread, text + "."))
    return [t for _, t in sorted(found, key=lambda f: -f[0])], left_out, looked


def _main(own: pd.DataFrame, metrics: dict[str, Any], directions: dict[str, str]) -> list[str]:
    """The first measure of each ranked question."""
    names = [str(m) for m in dict.fromkeys(own["metric"]) if directions.get(str(m)) != "none"]
    firsts = [next((m for m in names if question_of(m, metrics) == q), None) for q in RANKED]
    return [m for m in firsts if m is not None] or names[:1]


def _panel(name: str, own: pd.DataFrame, order: Sequence[str], directions: dict[str, str], main: list[str]) -> Panel:
    levels = [str(v) for v in dict.fromkeys(own["level"])]
    methods = [m for m in order if m in set(own["method"])]
    by = {(str(r["metric"]), str(r["level"]), str(r["method"])): r for r in own.to_dict("records")}
    texts, left_out, looked = differences(own, directions)
    line = f"{len(texts)} of {looked} differ" if looked else "no intervals to compare"
    line += f"; {left_out} more do, but so does the random map." if left_out else "."
    most = {v: int(own[own["level"] == v]["n"].max()) for v in levels}
    notes = [
        f"Cases: {', '.join(f'{v} {n}' for v, n in most.items())}. “Differ”: the 95 % intervals of two levels do not "
        "overlap. The comparisons are many and not corrected for their number; what stands out here is a question, not "
        "an answer."
    ]
    if left_out:
        notes.append(
            f"In {left_out} more the random map differs in the same measure: the measure itself depends on the kind of "
            "case, so that nothing is said of the method."
        )
    more = [f"… and {len(texts) - MOST_SAID} more."] if len(texts) > MOST_SAID else []

    def bar(metric: str, level: str, method: str) -> Bar:
        r = by.get((metric, level, method))
        if r is None:
            return Bar(method, float("nan"))
        both = is_number(r["low"]) and is_number(r["high"])
        return Bar(method, float(r["mean"]), float(r["low"]) if both else None, float(r["high"]) if both else None)

    if not main or not methods:
        return panel(f"By {name}", line, points=texts[:MOST_SAID] + more, notes=notes)
    titles = {m: f"{m.replace('_', ' ')} {ARROWS.get(directions.get(m, ''), '')}".strip() for m in main}
    bars = {titles[m]: {v: [bar(m, v, k) for k in methods] for v in levels} for m in main}
    head = ["method", *(f"{titles[m]}, {v}" for m in main for v in levels)]
    rows = [
        {"name": k, "control": is_control(k), "cells": [
            {"text": number(b.value), "small": interval(b.low, b.high)}
            for m in main for v in levels for b in [bar(m, v, k)]]}
        for k in methods
    ]  # fmt: skip
    alt = f"Means by {name}: " + "; ".join(
        f"{t}, {v}: " + ", ".join(f"{b.name} {number(b.value)}" for b in found)
        for t, by_level in bars.items() for v, found in by_level.items()
    )  # fmt: skip
    return panel(f"By {name}", line, points=texts[:MOST_SAID] + more, notes=notes, table={"head": head, "rows": rows},
                 picture=picture(level_dots(bars, controls=[k for k in methods if is_control(k)]), alt))  # fmt: skip
