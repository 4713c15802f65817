"""What the clinical claims say, in sentences and rows: never more than the interval does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pellucid.report.judge import CONTROLS
from pellucid.report.numbers import DASH, interval, is_number, number, p_value
from pellucid.report.pieces import count, listed

# The words of the run's table: its verdicts, and what it calls all findings together and the random map.
HOLDS, FAILS, OPEN, MISSING = "holds", "does not hold", "not settled", "not testable"
ALL, RANDOM = "all", "random"
WORDS = {HOLDS: "✓ holds", FAILS: "✕ does not hold", OPEN: "? not settled", MISSING: "– not testable"}
READERS = "readers"
MEASURE = {
    "hit": "maximum in the box", "iou": "overlap at equal size", "iou_half": "overlap at half the maximum",
    "hit_iou_10": "overlap of 0.1 or more", "hit_iou_25": "overlap of 0.25 or more", "gini": "Gini index",
    "effective_share": "spread", "outside": "share outside", "shared_top": "highest tenth", "spearman": "ranks",
    "own_box": "own box",
}  # fmt: skip


def statement_of(statement: str, measure: str, rows: pd.DataFrame) -> str:
    """A statement with its verdict for each method, and the numbers of the one that comes nearest to it."""
    verdicts = [
        f"{WORDS[v]} for {listed([str(m) for m in rows[rows['verdict'] == v]['method']], 4)}"
        for v in (HOLDS, FAILS, OPEN, MISSING) if (rows["verdict"] == v).any()
    ]  # fmt: skip
    name = f"{statement[:1].upper()}{statement[1:]} ({MEASURE.get(measure, measure)}): {'; '.join(verdicts)}"
    known = rows[rows["difference"].notna()]
    if not len(known):
        return f"{name}: {next((n for n in rows['note'] if n), 'no number')}."
    falling = rows["direction"].iloc[0] != "less"
    first = known.sort_values("difference", ascending=not falling, kind="stable").head(1).to_dict("records")[0]
    return f"{name}. Nearest to it: {_number(first)}."


def headline(rows: pd.DataFrame) -> str:
    """What the most telling statements come to, in counts of methods."""
    said = []
    for (statement, measure), own in rows.groupby(["statement", "measure"], sort=False):
        counts = own["verdict"].value_counts()
        found = [v for v in (HOLDS, FAILS, OPEN, MISSING) if v in counts]
        verdicts = [f"{WORDS[v]} for {int(counts[v])} of {len(own)}" for v in found]
        said.append(f"{statement} ({MEASURE.get(str(measure), str(measure))}): {', '.join(verdicts)}")
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]} {'method' if rows['method'].nunique() == 1 else 'methods'}."


def _number(r: dict[Any, Any]) -> str:
    """``grad_cam 0.26 [0.12, 0.41] against 0.08, the random map 0.10 (38 maps, 35 patients)``."""
    control = f", the random map {number(r['control_value'])}" if is_number(r["control_value"]) else ""
    return (
        f"{r['method']} {number(r['value'])} {interval(r['low'], r['high'])} against {number(r['against'])}{control} "
        f"({count(r['n'], 'map')}, {count(r['groups'], 'patient')}{'; ' + r['note'] if r['note'] else ''})"
    )


def readers_of(made: pd.DataFrame) -> list[str]:
    """How well readers do by the same measure: what no map can be asked to exceed."""
    own = made[(made["method"] == READERS) & made["measure"].isin(["hit", "iou"])]
    own = own[own["finding"] == whole(own)].drop_duplicates(["measure", "region"])
    what = {"hit": "the centre of one box in the other", "iou": "overlap"}
    return [
        f"Two readers on one picture ({r['region']}), {what[str(r['measure'])]}: {number(r['value'])} "
        f"{interval(r['low'], r['high'])} ({count(r['n'], 'picture')}). More cannot be expected of a map."
        for r in own.to_dict("records")
    ]


def whole(rows: pd.DataFrame) -> str:
    """All findings together where there are several, else the one."""
    return ALL if (rows["finding"] == ALL).any() or not len(rows) else str(rows["finding"].iloc[0])


def passed_of(main: pd.DataFrame) -> list[str]:
    """Statements that a control passes too: they are no praise of a method."""
    own = main[main["method"].isin(CONTROLS) & (main["verdict"] == HOLDS)]
    own = own[(own["claim"] != "apart") | (own["measure"] == "own_box")]  # that noise is separate is no merit
    return [
        f"The control {method} passes as well: {listed(list(dict.fromkeys(rows['statement'])), 3)}. What a map passes "
        "that knows nothing of the model speaks for no method."
        for method, rows in own.groupby("method", sort=False)
    ]


def table_of(rows: pd.DataFrame) -> dict[str, Any]:
    """All statements of some rows, one below the other."""
    head = ["method", "statement", "value", "against", "random map", "p after Holm", "maps, patients", "verdict"]
    return {"head": head, "rows": [_row(r) for r in rows.to_dict("records")]}


def _row(r: dict[Any, Any]) -> dict[str, Any]:
    cases = "" if r["cases"] in (ALL, "pairs") else f", {r['cases']}"
    texts = [
        (str(r["statement"]), f"{MEASURE.get(r['measure'], r['measure'])}{cases}"),
        (number(r["value"]), interval(r["low"], r["high"])),
        (number(r["against"]), ""), (number(r["control_value"]), ""),
        (p_value(float(r["p_holm"])) if is_number(r["p_holm"]) else DASH, ""),
        (f"{number(int(r['n']))}, {number(int(r['groups']))}", ""), (WORDS[r["verdict"]], str(r["note"])),
    ]  # fmt: skip
    cells = [{"text": text, "small": small} for text, small in texts]
    return {"name": str(r["method"]), "control": r["method"] in CONTROLS, "cells": cells}


def by_finding(made: pd.DataFrame) -> Sequence[tuple[str, dict[str, Any]]]:
    """The table of each finding, where there are several."""
    names = [str(f) for f in dict.fromkeys(made["finding"]) if f != ALL]
    if len(names) < 2:
        return []
    return [(name, table_of(made[(made["finding"] == name) & (made["method"] != RANDOM)])) for name in names]
