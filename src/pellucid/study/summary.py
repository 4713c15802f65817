"""The table at the end of a run."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from pellucid.study.store import Run

SHOWN = ("deletion_auc", "insertion_auc", "pointing_game", "mass_accuracy", "stability_pearson")
QUOTED = ("accuracy", "auroc", "rmse", "pearson", "dice")


def summary(run: Run) -> dict[str, Any]:
    """What a run found, as plain values: performance, scores and verdicts by task and method."""
    found: dict[str, Any] = {"run": str(run.folder), "recipe": run.info["recipe_hash"], "tasks": {}}
    for task in run.tasks:
        performance, comparison = run.table("performance", task), run.table("comparison", task)
        verdicts = run.table("verdicts", task)
        held = performance[(performance["stratum"] == "all")] if len(performance) else performance
        found["tasks"][task] = {
            "performance": [
                {k: _plain(r[k]) for k in ("part", "metric", "class", "value", "low", "high", "n")}
                for r in held.to_dict("records")
            ],
            "methods": {
                str(method): {
                    str(r["metric"]): {k: _plain(r[k]) for k in ("mean", "low", "high", "n")}
                    for r in rows.to_dict("records")
                }
                for method, rows in (comparison.groupby("method", sort=False) if len(comparison) else ())
            },
            "verdicts": {
                str(method): {
                    str(check): {str(k): int(v) for k, v in part["status"].value_counts().items()}
                    for check, part in rows.groupby("check", sort=False)
                }
                for method, rows in (verdicts.groupby("method", sort=False) if len(verdicts) else ())
            },
        }
    return found


def print_summary(run: Run, console: Console) -> None:
    """Print performance, and the methods with a few scores and their verdicts."""
    found = summary(run)
    if not console.is_terminal:  # a log file has no width of its own; cut-off intervals would be of no use
        console = Console(file=console.file, width=180, quiet=console.quiet)
    for task, part in found["tasks"].items():
        quoted, seen = [], set()
        for row in part["performance"]:
            key = (row["part"], row["metric"])
            if row["part"] != "val" and row["metric"] in QUOTED and key not in seen and row["value"] is not None:
                seen.add(key)
                quoted.append(f"{row['part']} {row['metric']} {_value(row)}")
        console.print(f"\n[bold]{task}[/]  " + "   ".join(quoted), highlight=False)
        if not part["methods"]:
            continue
        metrics = [m for m in SHOWN if any(m in scores for scores in part["methods"].values())]
        table = Table("method", *metrics, "verdicts that failed", box=None, header_style="dim", pad_edge=False)
        for method, scores in part["methods"].items():
            failed = [
                f"{check} {states['fail']}/{sum(states.values())}"
                for check, states in part["verdicts"].get(method, {}).items() if states.get("fail")
            ]  # fmt: skip
            table.add_row(method, *(_value(scores.get(m)) for m in metrics), ", ".join(failed) or "none")
        console.print(table)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value != value:  # noqa: PLR0124  NaN becomes null in JSON
        return None
    return value.item() if hasattr(value, "item") else value


def _value(row: dict[str, Any] | None) -> str:
    value = (row or {}).get("mean", (row or {}).get("value"))
    if row is None or value is None:
        return "–"
    interval = f" [{row['low']:.2f}, {row['high']:.2f}]" if row["low"] is not None else ""
    return f"{value:.3f}{interval}"
