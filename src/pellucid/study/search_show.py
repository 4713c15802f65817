"""A run's searches for people and for machines: the trials, and how much each setting mattered."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pellucid.study.search_tables import FEW
from pellucid.study.store import Run


def search_summary(run: Run) -> dict[str, Any]:
    """The searches of a run as plain values, by task: best trial, trials, importance."""
    found: dict[str, Any] = {"run": str(run.folder), "tasks": {}}
    for task in run.tasks:
        trials = run.table("search", task)
        if not len(trials):
            continue
        rows = [
            {k: json.loads(v) if k == "params" else _plain(v) for k, v in r.items() if k != "task"}
            for r in trials.to_dict("records")
        ]
        found["tasks"][task] = {
            "best": next((r for r in rows if r["best"]), None), "trials": rows,
            "importance": [
                {k: _plain(r[k]) for k in ("parameter", "importance", "n", "note")}
                for r in run.table("search_importance", task).to_dict("records")
            ],
        }  # fmt: skip
    return found


def print_search(run: Run, console: Console) -> None:
    """Print the trials, the best one marked, and the importance of the settings."""
    if not console.is_terminal:  # a file has no right edge
        console = Console(file=console.file, width=200, quiet=console.quiet)
    for task, part in search_summary(run)["tasks"].items():
        trials = part["trials"]
        settings = list(dict.fromkeys(k for t in trials for k in t["params"]))
        way = "lowest" if trials[0]["direction"] == "minimize" else "highest"
        console.print(f"\n[bold]{task}[/]  {way} {trials[0]['objective']} of the validation cases", highlight=False)
        table = Table(
            "trial", "state", trials[0]["objective"], *settings, "epochs", "pruned at", "seconds", "", box=None,
            header_style="dim", pad_edge=False,
        )  # fmt: skip
        for t in trials:
            tried = [_number(t["params"].get(k), 4) for k in settings]
            table.add_row(
                str(t["trial"]), t["state"], _number(t["value"], 5), *tried, str(t["epochs"]),
                str(t["pruned_at"] or ""), _number(t["seconds"], 3),
                "[green]best[/]" if t["best"] else escape(t["reason"]),
            )  # fmt: skip
        console.print(table)
        if part["importance"]:
            shares = ", ".join(f"{r['parameter']} {r['importance']:.2f}" for r in part["importance"])
            console.print(f"share of the differences (fANOVA): {shares}{_caveat(part['importance'])}", highlight=False)


def _caveat(rows: list[dict[str, Any]]) -> str:
    n = int(rows[0]["n"])
    return f" [dim](of {n} trials only: a hint at most)[/]" if n < FEW else ""


def _number(value: Any, digits: int) -> str:
    if value is None:
        return "–"
    return f"{value:.{digits}g}" if isinstance(value, float) else escape(str(value))


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and pd.isna(plain) else plain
