"""An experiment as figures in its folder, as cards for a page, and as a page of its own."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml
from matplotlib.figure import Figure

from pellucid.report.experiment_charts import Dots, fold_dots
from pellucid.report.numbers import DASH, interval, is_number, number, p_value
from pellucid.report.pieces import Panel, count, panel, picture
from pellucid.report.style import write_figure
from pellucid.study.crossval_results import SAID
from pellucid.study.store import Run

MOST = 4  # metrics that are drawn
ALPHA = 0.05
ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}
HOW = (
    "Mean ± sd over the folds, and the 95 % interval of the mean by Student’s t with the variance of Nadeau and "
    "Bengio, which takes into account that training sets overlap; it can reach beyond the range of the metric. "
    "“Pooled” is the metric of all folds’ predictions together, with a 95 % bootstrap interval over patients. The "
    "validation cases of a fold chose its epoch and its thresholds, so that every level is a little flattered."
)
OF_METHODS = (
    "Methods are compared on the models of the recipe as it stands, one of each fold, by maps of cases that the model "
    "was not trained on. Mean ± sd over the folds’ means, its interval as of the trainings; “pooled” is the mean over "
    "cases with a 95 % bootstrap interval over patients. Random and edge know nothing of the model."
)
TESTS = (
    ("corrected_p", "corrected t-test"), ("p", "paired t-test"), ("wilcoxon_p", "Wilcoxon, folds"),
    ("patients_p", "Wilcoxon, patients"),
)  # fmt: skip


def write_experiment_figures(run: Run) -> list[Path]:
    """Write ``figures/experiment-FACTOR.png`` and ``.svg`` for every factor; the data are the run's tables."""
    found = _read(run)
    written = []
    for factor in found["factors"] if found else ():
        figure = _figure(run, factor)
        if figure is not None:
            written += write_figure(figure, run.folder / "figures" / f"experiment-{_safe(factor)}")
    return written


def experiment_panels(run: Run) -> list[Panel]:
    """A card for each factor of the run's experiment, and one for what was trained; none if there was no experiment."""
    found = _read(run)
    if found is None:
        return []
    cards = [_card(run, found, factor, about) for factor, about in found["factors"].items()]
    return [*cards, _matrix(found)]


def alone(run: Run) -> bool:
    """Whether the folder holds an experiment and no run of the recipe itself."""
    return (run.folder / "experiment.json").is_file() and not (run.folder / "performance.parquet").is_file()


def experiment_page(run: Run) -> str:
    """The page of a folder that holds an experiment and no run."""
    found = _read(run)
    assert found is not None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pellucid.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    info, folds = run.info, found["folds"]
    facts = [
        ("Recipe", f"{info['recipe'].get('name', '')} ({info.get('recipe_hash', 'no hash')})"),
        ("Seed", f"{info.get('seed', DASH)}, of the folds {folds['seed']}"), ("Folds", folds["digest"]),
        ("Versions", ", ".join(f"{k} {v}" for k, v in info.get("versions", {}).items()) or DASH),
    ]
    return environment.get_template("experiment.html.j2").render(
        title=info.get("title") or found["name"], lead=_lead(found),
        question=run.recipe(found["task"]).get("question", ""),
        date=str(info.get("started", ""))[:16].replace("T", " "), panels=experiment_panels(run),
        failed=found["failed"], notes=[f"{n[:1].upper()}{n[1:]}." for n in folds["notes"]], facts=facts,
        recipe=yaml.safe_dump(info["recipe"], sort_keys=False, allow_unicode=True),
    )  # fmt: skip


def _read(run: Run) -> dict[str, Any] | None:
    path = run.folder / "experiment.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def _lead(found: dict[str, Any]) -> str:
    folds, n = found["folds"], len(found["arms"])
    way = "all combinations of their levels" if found["full"] else "one varied at a time"
    return (
        f"{count(len(found['factors']), 'factor')}, {way}: {count(n, 'training')} in each of {folds['count']} folds. "
        f"{count(folds['cases'], 'case')} of {count(folds['patients'], 'patient')}, each validated once by every "
        f"training; no patient is on two sides of a fold. {count(folds['test']['cases'], 'case')} of "
        f"{count(folds['test']['patients'], 'patient')} are held out for a test and took no part."
    )


def _card(run: Run, found: dict[str, Any], factor: str, about: dict[str, Any]) -> Panel:
    summary, tests = _rows(run, "experiment_summary", factor), _rows(run, "experiment_tests", factor)
    methods = about["kind"] == "methods"
    figure = _figure(run, factor)
    words = f"{factor}: " + "; ".join(
        f"{r['level']} {number(r['mean'])} {interval(r['low'], r['high'])}"
        for r in summary[summary["metric"] == about["decides"]].to_dict("records")
    )
    notes = [
        f"Small dots: folds; large: their mean with its 95 % interval; dotted line: {about['baseline']}, which the "
        "others are tested against. Orange square: told apart from it (corrected t-test, Holm, 5 %). An "
        "arrow: the interval goes on.",
        OF_METHODS if methods else HOW,
        f"{found['folds']['wilcoxon'][:1].upper()}{found['folds']['wilcoxon'][1:]}.",
    ]
    more = [(f"Tests by {_named(m)}", _tests(tests[tests["metric"] == m])) for m in tests["metric"].unique()]
    return panel(
        factor[:1].upper() + factor[1:].replace("_", " "), _explained(about), points=about["sentences"], notes=notes,
        picture=None if figure is None else picture(figure, words), table=_table(summary, methods) | {"open": True},
        more=more,
    )  # fmt: skip


def _explained(about: dict[str, Any]) -> str:
    """Which cases were explained, of methods."""
    told = about.get("explained")
    if told is None:
        return ""
    sizes = [n for n in told["cases"] if n is not None]
    least, most = min(sizes, default=0), max(sizes, default=0)
    each = f"{least} to {most} cases" if least < most else count(most, "case")
    return f"Explained in each fold: {each} of {told['of']}."


def _figure(run: Run, factor: str) -> Figure | None:
    summary, tests, folds = (_rows(run, f"experiment_{n}", factor) for n in ("summary", "tests", "folds"))
    if not len(summary):
        return None
    told = tests[tests["corrected_p_holm"] < ALPHA]
    panels = {}
    for metric in list(summary["metric"].unique())[:MOST]:
        own = summary[summary["metric"] == metric]
        base = str(own.loc[own["baseline"].astype(bool), "level"].iloc[0])
        apart = told[(told["metric"] == metric) & (told["against"] == base)]["level"].tolist()
        first = told[(told["metric"] == metric) & (told["level"] == base)]["against"].tolist()
        of = folds[folds["metric"] == metric].groupby("level")["value"].apply(list).to_dict()
        panels[_named(metric) + ARROWS[str(own["direction"].iloc[0])]] = [
            Dots(
                str(r["level"]), r["mean"], r["low"], r["high"], of.get(r["level"], []), bool(r["control"]),
                bool(r["baseline"]), r["level"] in (*apart, *first),
            )
            for r in own.to_dict("records")
        ]  # fmt: skip
    return fold_dots(panels)


def _table(summary: pd.DataFrame, methods: bool) -> dict[str, Any]:
    """A row per level: each metric over the folds and pooled, and what the level costs."""
    metrics = list(summary["metric"].unique())
    rows = []
    for level, own in summary.groupby("level", sort=False):
        by = {str(r["metric"]): r for r in own.to_dict("records")}
        cells = []
        for m in metrics:
            r = by[m]
            spread = f" ± {number(r['sd'])}" if is_number(r["sd"]) else ""
            pooled = f"pooled {number(r['pooled'])} {interval(r['pooled_low'], r['pooled_high'])}"
            cells.append(
                {"text": number(r["mean"]) + spread, "small": interval(r["low"], r["high"]),
                 "why": "; ".join(w for w in (pooled if is_number(r["pooled"]) else "", r["reason"]) if w)}
            )  # fmt: skip
        first = by[metrics[0]]
        cells += [] if methods else [{"text": _size(first["parameters"]), "small": ""}]
        cells.append({"text": number(first["seconds"]), "small": ""})
        name = f"{level} (baseline)" if first["baseline"] else str(level)
        rows.append({"name": name, "control": bool(first["control"]), "cells": cells})
    directions = summary.drop_duplicates("metric").set_index("metric")["direction"]
    cost = ["seconds a map"] if methods else ["parameters", "seconds a fold"]
    return {"head": ["", *(_named(m) + ARROWS[str(directions[m])] for m in metrics), *cost], "rows": rows}


def _tests(tests: pd.DataFrame) -> dict[str, Any]:
    """A row per pair: the difference, and p of each test with Holm's correction below."""
    shown = [(t, n) for t, n in TESTS if tests[t].notna().any()]
    rows = []
    for r in tests.to_dict("records"):
        pooled = interval(r["pooled_low"], r["pooled_high"])
        cells = [
            {"text": _signed(r["difference"]), "small": interval(r["low"], r["high"]), "why": str(r["note"])},
            {"text": _signed(r["pooled_difference"]), "small": pooled},
        ]
        for test, _ in shown:
            holm = r[f"{test}_holm"]
            cells.append({"text": _p(r[test]), "small": f"Holm {_p(holm)}" if is_number(holm) else ""})
        rows.append({"name": f"{r['level']} − {r['against']}", "control": False, "cells": cells})
    n = len(tests)
    names = [f"{name}, p" for _, name in shown]
    over = f"Holm’s correction is over {count(n, 'comparison')}"
    head = [over, "difference over folds", "difference, pooled", *names]
    return {"head": head, "rows": rows}


def _matrix(found: dict[str, Any]) -> Panel:
    """What was trained, and how far it is."""
    first, k = found["metrics"][0], found["folds"]["count"]
    rows, seconds = [], 0.0
    for arm in found["arms"].values():
        done = arm["folds"]
        seconds += sum(f["seconds"] for f in done.values())
        cells = [
            {"text": number(done[str(n)]["values"].get(first)) if str(n) in done else DASH,
             "small": _epoch(done.get(str(n)))}
            for n in range(1, k + 1)
        ]  # fmt: skip
        sizes = [f["parameters"] for f in done.values()]
        name = arm["what"] + (" (explained)" if arm["base"] and _explains(found) else "")
        spent = sum(f["seconds"] for f in done.values())
        cells += [{"text": _size(sizes[0] if sizes else None), "small": ""}, {"text": number(spent), "small": ""}]
        rows.append({"name": name, "control": False, "cells": cells})
    done = sum(len(a["folds"]) for a in found["arms"].values())
    head = ["", *(f"fold {n}" for n in range(1, k + 1)), "parameters", "seconds"]
    line = (
        f"{done} of {len(found['arms']) * k} trainings are done, in {number(seconds)} s of training. {_named(first)} "
        "on the validation cases of each fold."
    )
    notes = ["Levels with the same settings are one training, which stands for all of them."]
    return panel("What was trained", line, table={"head": head, "rows": rows, "open": True}, notes=notes)


def _epoch(facts: dict[str, Any] | None) -> str:
    return "not done" if facts is None else f"epoch {facts['best epoch']} of {facts['epochs']}"


def _explains(found: dict[str, Any]) -> bool:
    return any(f["kind"] == "methods" for f in found["factors"].values())


def _rows(run: Run, table: str, factor: str) -> pd.DataFrame:
    whole = run.table(table)
    return whole[whole["factor"] == factor] if len(whole) else whole


def _named(metric: str) -> str:
    return SAID.get(metric, metric.replace("_", " "))


def _signed(value: float) -> str:
    return ("+" if is_number(value) and value > 0 else "") + number(value)


def _p(value: float) -> str:
    return p_value(value).removeprefix("p ") if is_number(value) else DASH


def _size(weights: Any) -> str:
    if not is_number(weights):
        return DASH
    return f"{weights / 1e6:.1f} M" if weights >= 1e6 else f"{math.ceil(weights):,}"


def _safe(factor: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in factor)
