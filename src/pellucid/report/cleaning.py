"""What was noticed of the listed cases before anything was trained, and what was done about it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pellucid.report.numbers import number
from pellucid.report.pieces import Panel, count, panel
from pellucid.study.store import Run

SHOWN = 12  # lines of the table; all of them are in the run folder
WORDS = {
    "absent": "listed, and not there", "corrupt": "cannot be read", "duplicate": "the same picture twice",
    "near_duplicate": "looks the same as another", "size": "of another size", "age": "no possible age",
    "lists": "official lists", "box": "boxes",
}  # fmt: skip


def cleaning_panel(run: Run, task: str) -> list[Panel]:
    """Counts by problem and by what was done, and the first lines; none where nothing was noticed."""
    lines = run.table("cleaning", task)
    if not len(lines):
        return []
    gone = lines[lines["action"] == "left out"]["case"].nunique()
    noted = lines["case"].nunique()
    counted = lines.groupby(["problem", "action"], sort=False)["case"].agg(["size", "nunique"]).reset_index()
    rows = [
        _row(WORDS.get(r["problem"], r["problem"].replace("_", " ")), r["action"], number(int(r["nunique"])))
        for r in counted.sort_values("nunique", ascending=False, kind="stable").to_dict("records")
    ]
    several = lines["source"].nunique() > 1
    return [
        panel(
            "Cleaning",
            f"something was noticed of {count(noted, 'case')}; {number(gone)} left out.",
            notes=["A case may have several lines. All of them are in the table cleaning of the run folder."],
            table={"head": ["what was noticed", "what was done", "cases"], "rows": rows, "open": True, "words": True},
            more=[(_title(lines), _first(lines, several=several))],
        )
    ]


def _title(lines: pd.DataFrame) -> str:
    return "The lines" if len(lines) <= SHOWN else f"The first {SHOWN} of {number(len(lines))} lines"


def _first(lines: pd.DataFrame, *, several: bool) -> dict[str, Any]:
    """A few lines of each problem rather than many of the commonest."""
    turn = lines.groupby("problem", sort=False).cumcount()
    chosen = lines.assign(turn=turn).sort_values("turn", kind="stable")[:SHOWN]
    head = ["case", *(["source"] if several else []), "what was noticed", "what was done"]
    rows = [
        _row(str(r["case"]), *([str(r["source"])] if several else []), str(r["detail"]), str(r["action"]))
        for r in chosen.to_dict("records")
    ]
    return {"head": head, "rows": rows, "words": True}


def _row(name: str, *cells: str) -> dict[str, Any]:
    return {"name": name, "control": False, "cells": [{"text": c, "small": ""} for c in cells]}
