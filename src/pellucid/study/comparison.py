"""How the methods compare, for the terminal and as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pellucid.core.refiner import as_refined, base_of
from pellucid.evaluate.cohort.blocks import about
from pellucid.study.store import Run

ALL_OF = (
    "comparison", "ranking", "aggregated", "pareto", "agreement", "strata", "detector", "risk_coverage", "explained",
)  # fmt: skip
ARROWS = {"higher": " ↑", "lower": " ↓"}
AGAINST = ("faithfulness", "plausibility")  # questions in which a random map can be beaten in earnest
CONTROLS = ("random", "edge")
CELL, FIRST, WIDE = 25, 24, 180  # characters: a value with its interval; a method's name; a line of a file


def comparison(run: Run) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By task, the tables of the comparison as lists of rows; what is missing is None."""
    return {task: {name: _records(run.table(name, task)) for name in ALL_OF} for task in run.tasks}


def print_comparison(run: Run, console: Console) -> None:
    """Print methods × metrics with their intervals, the aggregated ranking, and what is better than chance."""
    if not console.is_terminal:  # a log file has no width of its own
        console = Console(file=console.file, width=WIDE, quiet=console.quiet)
    for task in run.tasks:
        table = run.table("comparison", task)
        console.print(f"\n[bold]{task}[/]", highlight=False)
        if not len(table):
            console.print("nothing was compared", highlight=False)
            continue
        for one in score_tables(table, max(1, (console.width - FIRST) // CELL)):
            console.print(one)
        says = lambda text, **more: console.print(text, highlight=False, soft_wrap=True, **more)  # noqa: E731
        says("[95 % interval] over patients; + better, − worse than random: the difference excludes zero", style="dim")
        aggregated = run.table("aggregated", task)
        if len(aggregated):
            says("\n[bold]places[/] (5th to 95th percentile over other choices of metrics) and how many metrics")
            console.print(rank_table(aggregated))
            for line in remarks(aggregated, run.table("ranking", task)):
                says(line, style="dim")
        says("\n[bold]against chance[/]")
        for line in chance(table):
            says(escape(line))
        for line in notes(table):
            says(escape(line), style="dim")


def score_tables(table: pd.DataFrame, at_once: int) -> Iterator[Table]:
    """Methods down, metrics across, so many at once, question by question."""
    metrics = [str(m) for m in dict.fromkeys(table["metric"])]
    questions = [about(m)[1] for m in metrics]
    rows = {(str(r["metric"]), str(r["method"])): r for r in table.to_dict("records")}
    methods = sorted(dict.fromkeys(str(m) for m in table["method"]), key=_is_control)
    for question in dict.fromkeys(questions):
        own = [m for m, q in zip(metrics, questions) if q == question]
        for start in range(0, len(own), at_once):
            part = own[start : start + at_once]
            heads = [escape(m) + ARROWS.get(about(m)[0], "") for m in part]
            found = Table(question or "other", *heads, box=None, header_style="bold", pad_edge=False)
            for method in methods:
                style = "dim" if _is_control(method) else None
                found.add_row(method, *(_cell(rows.get((m, method))) for m in part), style=style)
            yield found


def rank_table(aggregated: pd.DataFrame) -> Table:
    """Places within each question and over all, with their range over other choices of metrics."""
    questions = [str(q) for q in dict.fromkeys(aggregated["question"])]
    heads = [f"{q} ({int(aggregated.loc[aggregated['question'] == q, 'metrics'].iloc[0])})" for q in questions]
    found = Table("method", *heads, box=None, header_style="bold", pad_edge=False)
    rows = {(str(r["question"]), str(r["method"])): r for r in aggregated.to_dict("records")}
    last = questions[-1]
    order = list(dict.fromkeys([*aggregated.loc[aggregated["question"] == last, "method"], *aggregated["method"]]))
    for method in order:
        cells = [_place(rows.get((q, method))) for q in questions]
        found.add_row(method, *cells, style="dim" if _is_control(method) else None)
    return found


def remarks(aggregated: pd.DataFrame, ranking: pd.DataFrame) -> Iterator[str]:
    """Whether there is any difference between the methods, and what to think of a control that leads."""
    tests = ranking[ranking["p_without"].notna()].drop_duplicates("scope").set_index("scope")["p_without"]
    said = [f"{q} p = {tests[q]:.2g}" for q in dict.fromkeys(aggregated["question"]) if q in tests.index]
    if said:
        yield f"any difference between the methods, controls apart (Friedman): {', '.join(said)}"
    first = aggregated[(aggregated["question"] == "all") & (aggregated["place"] == 1)]["method"]
    if any(_is_control(m) for m in first):
        yield (
            f"first over all questions: {', '.join(first)}; stability and complexity can be won by a map that does not "
            "look at the model, faithfulness cannot"
        )


def chance(table: pd.DataFrame) -> Iterator[str]:
    """A line per metric of faithfulness and plausibility: which methods are better than a random map, which worse."""
    for metric, own in table.groupby("metric", sort=False):
        direction, question = about(str(metric))
        known = own[~own["method"].map(_is_control) & own["better_than_random"].notna()]  # five patients or more
        if question not in AGAINST or direction == "none":
            continue
        for rival, rows in known.groupby(known["method"].map(lambda m: as_refined(str(m), "random")), sort=False):
            yield f"{metric}: {_against(str(rival), rows, direction)}"


def _against(rival: str, rows: pd.DataFrame, direction: str) -> str:
    """Which methods are better than a control, which worse."""
    better = list(rows.loc[rows["better_than_random"].fillna(False).astype(bool), "method"])
    below = rows["difference_high"] < 0 if direction == "higher" else rows["difference_low"] > 0
    worse = list(rows.loc[below, "method"])
    rest = len(rows) - len(better) - len(worse)
    said = [f"better than {rival}: {', '.join(better)}" if better else f"none better than {rival}"]
    said += [f"worse: {', '.join(worse)}"] if worse else []
    said += [f"{rest} not told apart"] if rest else []
    return "; ".join(said)


def _is_control(method: str) -> bool:
    return base_of(method) in CONTROLS


def notes(table: pd.DataFrame) -> Iterator[str]:
    """Why there is no number or no interval: a line for each reason, with the metrics and methods it is about."""
    everyone = table["method"].nunique()
    found: dict[tuple[str, str], list[str]] = {}
    for (metric, note), rows in table[table["note"].fillna("").ne("")].groupby(["metric", "note"], sort=False):
        who = "all methods" if len(rows) == everyone else ", ".join(rows["method"])
        found.setdefault((str(note), who), []).append(str(metric))
    for (note, who), metrics in found.items():
        yield f"{note} ({who}): {', '.join(metrics)}"


def _cell(row: dict[Any, Any] | None) -> str:
    if row is None or pd.isna(row["mean"]):
        return "–"
    low, high = row["difference_low"], row["difference_high"]
    star = ""
    told = pd.notna(row["better_than_random"]) and (low > 0 or high < 0)
    if about(str(row["metric"]))[1] in AGAINST and told:
        star = "+" if (low > 0) == (row["direction"] == "higher") else "−"
    interval = "" if pd.isna(row["low"]) else f" [{_number(row['low'])}, {_number(row['high'])}]"
    return f"{_number(row['mean'])}{star}{interval}"


def _place(row: dict[Any, Any] | None) -> str:
    if row is None:
        return "–"
    low, high = int(row["place_low"]), int(row["place_high"])
    return f"{int(row['place'])}" if low == high else f"{int(row['place'])} ({low} to {high})"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 100 else f"{value:.3f}"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.drop(columns="task", errors="ignore").astype(object)
    rows: Sequence[dict[Any, Any]] = plain.where(plain.notna(), None).to_dict("records")
    return [{str(k): v.item() if hasattr(v, "item") else v for k, v in row.items()} for row in rows]
