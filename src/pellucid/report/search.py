"""A run's search for settings: figures in its folder, and a panel for the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pellucid.report.numbers import DASH, number
from pellucid.report.pieces import Panel, count, panel, picture
from pellucid.report.search_charts import Searched, search_chart
from pellucid.report.style import write_figure
from pellucid.study.store import Run


def write_search_figures(run: Run) -> list[Path]:
    """Write ``figures/search-TASK.png`` and ``.svg`` for every task with a search; the data are the run's tables."""
    written = []
    for task in run.tasks:
        found = searched(run, task)
        if found is None:
            continue
        base = run.folder / "figures" / f"search-{task}"
        written += write_figure(search_chart(found), base)
    return written


def searched(run: Run, task: str) -> Searched | None:
    """What a run knows of a task's search; None if there was none."""
    trials = run.table("search", task)
    if not len(trials):
        return None
    asked = run.recipe(task).get("search") or {}
    logs = frozenset(k for k, v in asked.get("space", {}).items() if isinstance(v, dict) and v.get("log"))
    return Searched(trials, run.table("search_importance", task), asked.get("sampler") == "grid", logs)


def search_panel(run: Run, task: str) -> Panel | None:
    """The search of a task: what was tried, what came out, whether the model was trained with it."""
    s = searched(run, task)
    if s is None:
        return None
    trials = s.trials
    best = trials[trials["best"].astype(bool)]
    states = trials["state"].value_counts()
    ends = ", ".join(f"{n} {state}" for state, n in states.items())
    line = f"{count(len(trials), 'trial')} ({ends})"
    if len(best):
        row = best.iloc[0]
        line += f"; best {s.objective} {number(row['value'])}, trial {row['trial']}: {_settings(row['params'])}"
    notes = [_used(run, task), *_cautions(s)]
    table = {
        "head": ["trial", "state", s.objective, "epochs", "seconds", "settings"],
        "rows": [
            {
                "name": str(r["trial"]) + (" (best)" if r["best"] else ""), "control": False,
                "cells": [
                    {"text": text, "small": small}
                    for text, small in (
                        (r["state"], r["reason"]), (number(r["value"]), ""), (str(r["epochs"]), ""),
                        (number(r["seconds"]), ""), (_settings(r["params"]), ""),
                    )
                ],
            }
            for r in trials.to_dict("records")
        ],
    }  # fmt: skip
    alt = f"Search: {line}. " + ", ".join(
        f"{r['parameter']} {number(r['importance'])}" for r in s.importance.to_dict("records")
    )
    shown = picture(search_chart(s), alt, colours=255)
    return panel("The search for the settings", line + ".", picture=shown, notes=notes, table=table)


def _cautions(s: Searched) -> list[str]:
    words = [
        f"The value is {s.objective} of the validation cases; the test cases took no part. The best of many trials is "
        "flattered by having been chosen: how good the model is, the test cases say, which chose nothing."
    ]
    few = [str(n) for n in s.importance["note"] if "trials only" in str(n)]
    if few:
        words.append(f"The importance is {few[0]}.")
    return words


def _used(run: Run, task: str) -> str:
    kept: dict[str, Any] | None = run.info.get("best_trials", {}).get(task)
    if kept is None:
        return "The model of this run was trained with the settings of the recipe, not with those of the best trial."
    return (
        f"The model of this run was trained with the settings of trial {kept['trial']}, the best of "
        f"{kept['trials']} then ({kept['objective']} {number(kept['value'])})."
    )


def _settings(params: str) -> str:
    plain = json.loads(params)
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in plain.items()) or DASH
