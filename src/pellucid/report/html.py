"""A run folder as one self-contained page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import yaml

from pellucid.core.windows import as_windows
from pellucid.report.aggregated import aggregated_panels, aggregated_rows
from pellucid.report.agreements import agreement_panel
from pellucid.report.answers import answer_panels
from pellucid.report.bias import bias_panels
from pellucid.report.claims import claim_panels
from pellucid.report.cleaning import cleaning_panel
from pellucid.report.compared import by_question
from pellucid.report.confusion import confusion_panels
from pellucid.report.crossval import crossval_panel
from pellucid.report.detectors import detector_panel
from pellucid.report.eda import eda_panel
from pellucid.report.ensembles import ensemble_gallery, weight_panels
from pellucid.report.experiment import alone, experiment_page, experiment_panels
from pellucid.report.findings import findings
from pellucid.report.gallery import gallery
from pellucid.report.helps import helps_panels
from pellucid.report.judge import RULE, Judgement, deciding, judge
from pellucid.report.limits import limits
from pellucid.report.mask_quality import mask_quality_panel
from pellucid.report.masked import masked_gallery
from pellucid.report.model_curves import curve_panels
from pellucid.report.numbers import interval, is_number, number
from pellucid.report.outliers import outlier_panels
from pellucid.report.panels import curve_panel, faithful, scatter_panel, shares_panel, trade_panel
from pellucid.report.readers import readers_panel
from pellucid.report.reading import reading
from pellucid.report.score_tables import ARROWS, region_tables, score_tables, verdict_table
from pellucid.report.scrambled import layers_panel
from pellucid.report.search import search_panel
from pellucid.report.shared import shared_panels
from pellucid.report.strata import strata_panels
from pellucid.report.tables import (
    cost_rows,
    data_rows,
    failures,
    glossary,
    grouped_by,
    patients_shared,
    performance_tables,
)
from pellucid.report.training import training_notes
from pellucid.report.zones import zone_panels
from pellucid.study.recipe import ABOVE
from pellucid.study.store import Run, write_text

MEASURES = 3  # of faithfulness beside the verdict; the others are further down
SIGNS = {"trust": "✓", "with care": "◐", "do not rely on": "✕", "not judged": "?", "control": "○"}


def build_report(folder: str | Path) -> Path:
    """Write ``report.html`` into a run folder, whole or not at all, and return its path.

    The page holds its figures and needs nothing from elsewhere. Stages that were not run are said to be missing.

    Raises:
        InputError: the folder holds no run.
    """
    run = Run(folder)
    page = experiment_page(run) if alone(run) else render(run)
    path = run.folder / "report.html"
    write_text(path, page)
    return path


def render(run: Run) -> str:
    """The page of a run."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pellucid.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    tasks = [_task(run, t) for t in run.tasks]
    info = run.info
    return environment.get_template("report.html.j2").render(
        title=info.get("title") or info["recipe"].get("title") or info["recipe"].get("name") or "Run",
        date=_when(run),
        tasks=tasks,
        rule=RULE,
        signs=SIGNS,
        limits=limits(run),
        glossary=glossary(run),
        reading=reading(run),
        provenance=_provenance(run),
        recipe=yaml.safe_dump(info["recipe"], sort_keys=False, allow_unicode=True),
        methods=[{"name": k, **v} for k, v in info.get("methods", {}).items() if any(k in t["order"] for t in tasks)],
    )


def _task(run: Run, task: str) -> dict[str, Any]:
    recipe = run.recipe(task)
    comparison, metrics = run.table("comparison", task), run.info.get("metrics", {})
    judged = judge(run.table("verdicts", task), comparison, metrics)
    order = [j.method for j in judged] or [_name(m) for m in (recipe["explain"] or {}).get("methods", ())]
    head, rows = data_rows(run, task)
    found = findings(run, task, order)
    anchor, shown = "t-" + re.sub(r"[^a-zA-Z0-9]+", "-", task), gallery(run, task, order)
    return {
        "name": task,
        "anchor": anchor,
        "title": recipe.get("title") or task,
        "question": recipe.get("question", ""),
        "asked": _asked(recipe),
        "explains": bool(recipe["explain"]),
        "line": _line(run, task, recipe),
        "judged": [_judged(j, comparison, metrics) for j in judged],
        "order": order,
        "measures": [m.replace("_", " ") + " " + ARROWS[d] for m, d in faithful(comparison, metrics)[:MEASURES]],
        "further": max(0, len(deciding([m for m, _ in faithful(comparison, metrics)], metrics)) - MEASURES),
        "findings": found,
        "stands_out": [f for f in found if f["found"]],
        "data": {"head": head, "rows": rows, "shared": patients_shared(run, task) if rows else 0,
                 "unit": grouped_by(run, task)},
        "eda": eda_panel(run, task),
        "cleaning": cleaning_panel(run, task),
        "failures": failures(run, task),
        "search": search_panel(run, task),
        "crossval": crossval_panel(run, task),
        "experiment": experiment_panels(run),
        "performance": performance_tables(run, task),
        "answers": [*curve_panels(run, task), *confusion_panels(run, task), *answer_panels(run, task),
                    *bias_panels(run, task)],
        "curve": curve_panel(run, task),
        "training": training_notes(run, task),
        "scatter": scatter_panel(run, task),
        "aggregated": aggregated_panels(run, task, {j.method: j.word for j in judged}),
        "claims": claim_panels(run, task),
        "outliers": outlier_panels(run, task, {c["id"]: f"{anchor}-case-{k}" for k, c in enumerate(shown, 1)}),
        "zones": [*zone_panels(run, task, order), *shared_panels(run, task, order)],
        "gallery": shown,
        "masked": masked_gallery(run, task, order),
        "ensembles": ensemble_gallery(run, task),
        "weights": weight_panels(run, task),
        "helps": helps_panels(run, task, order),
        "mask_quality": mask_quality_panel(run, task, order),
        "shares": shares_panel(run, task, order),
        "regions": region_tables(run, task, order),
        "compared": _compared(run, task, order),
        "scores": score_tables(run, task, order),
        "readers": readers_panel(run, task),
        "verdicts": verdict_table(run, task, order),
        "cost": cost_rows(run, task, order),
        "trade": trade_panel(run, task, order),
    }


def _compared(run: Run, task: str, order: list[str]) -> dict[str, Any] | None:
    """What is shown at once, faithfulness alone, and what is folded."""
    ranks = by_question(run, task)
    folded = [
        *ranks[1:], *agreement_panel(run, task), *layers_panel(run, task, order),
        *strata_panels(run, task, order), *detector_panel(run, task, order),
    ]  # fmt: skip
    return {"shown": ranks[:1], "folded": folded} if ranks or folded else None


def _asked(recipe: dict[str, Any]) -> list[tuple[str, str]]:
    model, data, explain, evaluate = recipe["model"], recipe["data"], recipe["explain"], recipe["evaluate"]
    network = model.get("network") or f"given: {model.get('load')}"
    train = recipe.get("train")
    targets = ", ".join(_target(t) for t in explain["targets"]) if explain else ""
    also, sums = recipe.get("also") or {}, recipe.get("aggregate")
    served = "nothing" if sums else "nothing: it serves other tasks"
    return [
        (
            "Task",
            model["task"] + (f", classes {', '.join(map(str, model['classes']))}" if model.get("classes") else ""),
        ),
        ("Inputs", ", ".join(model["inputs"])),
        (
            "Model",
            network + (f", trained here for at most {train['epochs']} epochs" if train else ", not trained here"),
        ),
        ("Data", ", ".join([data["dataset"], *(f"{k}: {v['dataset']}" for k, v in also.items())])),
        ("Explained", f"{targets} (cases: {explain['cases']})" if explain else served),
        *([("Compared with", _region(evaluate.get("region")))] if explain else []),
        *([("Windows", _windows(model["windows"]))] if model.get("windows") else []),
        *([("Summed over regions", _sums(sums))] if sums else []),
    ]


def _windows(asked: Mapping[str, Any]) -> str:
    """How a large volume goes through the model, in words."""
    how = as_windows(dict(asked))
    assert how is not None
    return (
        f"{' × '.join(map(str, how.roi))} voxels, overlapping by {100 * how.overlap:.0f} %, {how.blend} blending; the "
        "output is that of the whole volume, stitched"
    )


def _sums(asked: Mapping[str, Any]) -> str:
    """What was aggregated, in words."""
    cases = asked["cases"] if isinstance(asked["cases"], str) else ", ".join(asked["cases"])
    regions = ", ".join(r if isinstance(r, str) else str(r.get("of") or r["file"]) for r in asked["regions"])
    targets = "all classes" if asked["targets"] == "all" else ", ".join(_target(t) for t in asked["targets"])
    return f"{targets} by {', '.join(_name(m) for m in asked['methods'])}, regions: {regions} (cases: {cases})"


def _line(run: Run, task: str, recipe: dict[str, Any]) -> str:
    rows = aggregated_rows(run, task)
    summed = f"{rows['case'].nunique()} cases summed over regions." if len(rows) else ""
    if not recipe["explain"]:
        return summed or "Trained and measured; nothing is explained."
    cases, methods = len(run.cases(task)), len(recipe["explain"]["methods"])
    if not cases:
        return "Nothing was explained yet."
    measures = len(recipe["evaluate"]["metrics"])
    return (
        f"{cases} case{'' if cases == 1 else 's'} explained by {methods} method{'' if methods == 1 else 's'}, "
        f"judged by {measures} measure{'' if measures == 1 else 's'}. {summed}".rstrip()
    )


def _judged(j: Judgement, comparison: Any, metrics: dict[str, Any]) -> dict[str, Any]:
    rows = (
        {str(r["metric"]): r for r in comparison[comparison["method"] == j.method].to_dict("records")}
        if len(comparison)
        else {}
    )
    cells = []
    for name, _ in faithful(comparison, metrics)[:MEASURES]:
        r = rows.get(name)
        kind = "better" if name in j.better else "worse" if name in j.worse else ""
        difference = None if r is None or j.word == "control" else r.get("difference")
        rival = str(r.get("control") or "") if r is not None else ""
        cells.append(
            {
                "difference": ("+" if is_number(difference) and float(difference or 0) > 0 else "")
                + number(difference),
                "interval": interval(r.get("difference_low"), r.get("difference_high")) if r is not None else "",
                "kind": kind,
                "is_control": j.word == "control",
                "rival": f"p {number(r['p'])} against {rival}"
                if r is not None and rival and is_number(r.get("p"))
                else "",
            }
        )
    return {
        "method": j.method,
        "word": j.word,
        "slug": j.word.replace(" ", "-"),
        "why": j.why,
        "rank": number(j.rank) if j.rank is not None else "–",
        "cells": cells,
    }


def _provenance(run: Run) -> list[tuple[str, str]]:
    info = run.info
    rows = [
        ("Recipe", f"{info['recipe'].get('name', '')} ({info.get('recipe_hash', 'no hash')})"),
        ("Seed", str(info.get("seed", "–"))),
    ]
    rows += [(k.title(), str(info[k])) for k in ("command", "device", "started", "finished") if info.get(k)]
    if not info.get("finished"):
        rows.append(("Finished", "not when this report was written"))
    rows.append(("Versions", ", ".join(f"{k} {v}" for k, v in info.get("versions", {}).items()) or "–"))
    for task in run.tasks:
        ids = run.cases(task)
        maps = run.attributions(task, ids[0]) if ids else []
        if maps:
            p = maps[0].provenance
            rows.append(
                (f"Weights of {task}", f"{p.get('weights', '–')} ({p.get('device', '?')}, {p.get('precision', '?')})")
            )
    spent = run.ledger.rows()
    whole = spent[spent["item"] == "*"]
    if len(whole):
        rows.append(
            (
                "Seconds by stage",
                ", ".join(f"{r['task']} {r['stage']} {number(float(r['seconds']))}" for r in whole.to_dict("records")),
            )
        )
    return rows


def _when(run: Run) -> str:
    started = run.info.get("started")
    if started:
        return datetime.fromisoformat(str(started)).strftime("%Y-%m-%d %H:%M %Z")
    rows = run.ledger.rows()
    return datetime.fromtimestamp(float(rows["at"].min()), UTC).strftime("%Y-%m-%d %H:%M UTC") if len(rows) else ""


def _name(method: Any) -> str:
    return method if isinstance(method, str) else str(next(iter(method)))


def _region(name: str | None) -> str:
    """What plausibility compares with, in words."""
    known = {"target": "the region that is called as the explained class", "truth": "the true mask"}
    return known.get(str(name), f"the region “{name or 'lesion'}”, where a case has it")


def _target(target: Any) -> str:
    """A target of the recipe in words: ``heart``, or ``heart (truth, mean)``."""
    if target == ABOVE:
        return "every class above its threshold"
    if not isinstance(target, Mapping):
        return str(target)
    what = str(target.get("k", target.get("i", "predicted")))
    details = [str(v) for k, v in target.items() if k not in ("kind", "k", "i")]
    return f"{what} ({', '.join(details)})" if details else what
