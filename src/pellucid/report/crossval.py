"""A run's cross-validation: fold by fold, all folds together, and the held-out test side beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.report.charts import Bar
from pellucid.report.dots import level_dots
from pellucid.report.numbers import DASH, interval, is_number, number
from pellucid.report.pieces import Panel, count, panel, picture
from pellucid.report.tables import grouped_by
from pellucid.study.store import Run

DRAWN = ("accuracy", "f1", "auroc", "auprc", "rmse", "mae", "pearson", "r2", "dice", "iou")
TABLED = ("accuracy", "precision", "sensitivity", "f1", "auroc", "auprc", *DRAWN[4:])
POOL, TEST = "out of fold", "held-out test"
MOST = 4  # measures that are drawn
FLATTERED = (
    "The validation cases of a fold chose its epoch and its thresholds, and the pooled predictions the thresholds that "
    "they are measured with: all but the test are a little flattered. The sd is of the folds and no standard error of "
    "their mean, because their training sets overlap. Pooled, scores of different models stand in one list, so that "
    "AUROC and AUPRC can lie below those of the folds."
)
Row = dict[Any, Any]


def crossval_panel(run: Run, task: str) -> Panel | None:
    """The cross-validation of a task; None if there was none."""
    path = run.folder / "cross_validation" / task / "results.json"
    folds, summary = run.table("folds", task), run.table("fold_summary", task)
    if not path.is_file() or not len(folds) or not len(summary):
        return None
    results = json.loads(path.read_text(encoding="utf-8"))
    rows: Sequence[Any] = summary.drop_duplicates("metric").to_dict("records")
    quoted = {str(r["metric"]): r for r in rows}
    test, unit = _test(run, task), grouped_by(run, task)
    numbers = list(dict.fromkeys(int(n) for n in folds["fold"]))
    by: dict[tuple[int, str], Row] = {
        (int(r["fold"]), str(r["metric"])): r
        for r in folds.to_dict("records")
        if str(r["class"]) == str(quoted.get(str(r["metric"]), {}).get("class"))
    }
    notes = [_sides(run, task), *(f"{n[:1].upper()}{n[1:]}." for n in results["folds"]["notes"]), FLATTERED]
    if run.info.get("best_trials", {}).get(task) is not None:
        notes.append("The settings were chosen by a search on some of the patients who are validated here.")
    drawn = [m for m in DRAWN if m in quoted][:MOST]
    line = _line(results, [quoted[m] for m in drawn[:1]])
    return panel(
        "Cross-validation", line, picture=_picture(drawn, numbers, by, quoted, test), notes=notes,
        table=_table([m for m in TABLED if m in quoted], numbers, results, by, quoted, test, unit) | {"open": True},
    )  # fmt: skip


def _test(run: Run, task: str) -> dict[str, Row]:
    """The first row of each metric of the test side."""
    table = run.table("performance", task)
    if not len(table):
        return {}
    own = table[(table["part"] == "test") & (table["stratum"] == "all")].drop_duplicates("metric")
    return {str(r["metric"]): r for r in own.to_dict("records")}


def _line(results: Mapping[str, Any], first: Sequence[Row]) -> str:
    words = f"{results['folds']['count']} folds"
    for r in first:
        words += f"; {_named(r)} {number(r['mean'])} ± {number(r['sd'])} over the folds, {number(r['pooled'])} "
        words += f"{interval(r['low'], r['high'])} out of fold"
    final = results["final fit"]
    if final is None:
        return f"{words}. There is no final model."
    return f"{words}. The model of this task was trained on all of them for {count(final['epochs'], 'epoch')}."


def _sides(run: Run, task: str) -> str:
    """How many patients are on each side, and whether any is on two: counted in the run's tables."""
    data, predictions = run.table("data", task), run.table("fold_predictions", task)
    unit = grouped_by(run, task)
    held = data[data["part"] == "test"]
    mine = predictions.drop_duplicates(["fold", "group"])
    n, tested = mine["group"].nunique(), held["group"].nunique()
    sizes = mine.groupby("fold")["group"].size()
    low, high = int(sizes.min()), int(sizes.max())
    validated = number(low) if low == high else f"{number(low)} to {number(high)}"
    rest = number(n - low) if low == high else f"{number(n - high)} to {number(n - low)}"
    said = (
        f"{count(n, unit)} in the folds: {validated} validated and {rest} trained on in each. "
        f"{number(tested)} held out for the test."
    )
    twice = int((mine.groupby("group")["fold"].nunique() > 1).sum()) + len(set(mine["group"]) & set(held["group"]))
    if twice:
        return f"{said} {number(twice)} on two sides: these numbers cannot be believed."
    return f"{said} No {unit} is on two sides of a fold, and none of the test side is in a fold."


def _picture(
    drawn: Sequence[str], numbers: Sequence[int], by: Mapping[tuple[int, str], Row], quoted: Mapping[str, Row],
    test: Mapping[str, Row],
) -> dict[str, str] | None:  # fmt: skip
    if not drawn:
        return None
    panels, said = {}, []
    for m in drawn:
        bars = [_bar(f"fold {n}", by.get((n, m), {})) for n in numbers]
        bars.append(_bar(POOL, quoted[m] | {"value": quoted[m]["pooled"]}))
        if test:
            bars.append(_bar(TEST, test.get(m, {})))
        title = _named(quoted[m])
        panels[title] = {"value and 95 % interval": bars}
        said.append(f"{title}: " + ", ".join(f"{b.name} {number(b.value)}" for b in bars))
    lines = {_named(quoted[m]): quoted[m]["mean"] for m in drawn if is_number(quoted[m]["mean"])}
    figure = level_dots(panels, lines=lines, line_name="mean of the folds")
    return picture(figure, "Cross-validation. " + "; ".join(said) + ".")


def _bar(name: str, row: Row) -> Bar:
    low, high = row.get("low", math.nan), row.get("high", math.nan)
    ends = (float(low), float(high)) if is_number(low) and is_number(high) else (None, None)
    return Bar(name, float(row.get("value", math.nan)), *ends)


def _table(
    shown: Sequence[str], numbers: Sequence[int], results: Mapping[str, Any], by: Mapping[tuple[int, str], Row],
    quoted: Mapping[str, Row], test: Mapping[str, Row], unit: str,
) -> dict[str, Any]:  # fmt: skip
    def row(name: str, cells: Sequence[dict[str, str]], *, facts: Sequence[str]) -> dict[str, Any]:
        return {"name": name, "control": False, "cells": [*({"text": f, "small": ""} for f in facts), *cells]}

    def cell(found: Row) -> dict[str, str]:
        why = str(found.get("reason") or "")
        return {"text": number(found.get("value")), "small": interval(found.get("low"), found.get("high")), "why": why}

    rows = []
    for n in numbers:
        facts = results[f"fold {n}"]
        best = f"{number(facts['best epoch'])} of {number(facts['epochs'])}"
        cells = [cell(by.get((n, m), {})) for m in shown]
        rows.append(row(f"fold {n}", cells, facts=[_cases(facts["validation"], unit), best]))
    spread = [
        {"text": f"{number(quoted[m]['mean'])} ± {number(quoted[m]['sd'])}",
         "small": "" if quoted[m]["folds"] == len(numbers) else f"of {number(int(quoted[m]['folds']))} folds"}
        for m in shown
    ]  # fmt: skip
    rows.append(row("mean ± sd of the folds", spread, facts=["", ""]))
    pool = [cell(quoted[m] | {"value": quoted[m]["pooled"]}) for m in shown]
    rows.append(row(f"{POOL}, pooled", pool, facts=[_cases(results["folds"], unit), ""]))
    final = results["final fit"]
    if test and final is not None:
        facts = [_cases(results["test"], unit), f"all {number(final['epochs'])}"]
        rows.append(row(f"{TEST}, final model", [cell(test.get(m, {})) for m in shown], facts=facts))
    head = ["", "measured on", "epoch kept", *(_named(quoted[m]) for m in shown)]
    return {"head": head, "rows": rows}


def _cases(sizes: Mapping[str, int] | None, unit: str) -> str:
    return DASH if sizes is None else f"{count(sizes['cases'], 'case')}, {count(sizes['patients'], unit)}"


def _named(row: Row) -> str:
    """A metric, and of which class it is where it is of one."""
    of = {"all": "", "macro": ", mean"}.get(str(row["class"]), f", {row['class']}")
    return str(row["metric"]).replace("_", " ") + of
