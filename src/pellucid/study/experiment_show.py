"""A run's experiment for people and for machines."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pellucid.study.crossval_results import SAID
from pellucid.study.store import Run


def experiment_summary(run: Run) -> dict[str, Any]:
    """The content of ``experiment.json``, and where it lies."""
    found: dict[str, Any] = json.loads((run.folder / "experiment.json").read_text("utf-8"))
    return {"run": str(run.folder), **found}


def print_experiment(run: Run, console: Console) -> None:
    """Print each factor: its levels over the folds, the corrected test, and what can be said."""
    if not console.is_terminal:  # a file has no right edge
        console = Console(file=console.file, width=200, quiet=console.quiet)
    found = experiment_summary(run)
    for factor, about in found["factors"].items():
        own = [r for r in found["summary"] if r["factor"] == factor]
        metrics = list(dict.fromkeys(r["metric"] for r in own))
        by = {(r["level"], r["metric"]): r for r in own}
        tests = {
            (r["level"], r["metric"]): r["corrected_p_holm"] for r in found["tests"]
            if r["factor"] == factor and r["against"] == about["baseline"]
        }  # fmt: skip
        console.print(f"\n[bold]{escape(factor)}[/]  mean ± sd over folds; p against {about['baseline']}: corrected "
                      "resampled t-test, Holm", highlight=False)  # fmt: skip
        table = Table("level", *(SAID.get(m, m) for m in metrics), "seconds", box=None, header_style="dim",
                      pad_edge=False)  # fmt: skip
        for level in dict.fromkeys(r["level"] for r in own):
            cells = [_cell(by[level, m], tests.get((level, m))) for m in metrics]
            table.add_row(escape(level), *cells, _number(by[level, metrics[0]]["seconds"]))
        console.print(table)
        for sentence in about["sentences"]:
            console.print(escape(sentence), highlight=False, soft_wrap=True)


def _cell(row: dict[str, Any], p: float | None) -> str:
    said = f"{_number(row['mean'])} ± {_number(row['sd'])}"
    if row["folds"] < row["of"]:
        said += f" ({row['folds']} of {row['of']} folds)"
    return said if p is None else f"{said}, p {p:.3f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
