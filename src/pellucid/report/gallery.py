"""The gallery: which cases are shown, and every method's map of each, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.refiner import base_of
from pellucid.report.charts import table_bars
from pellucid.report.figures import Stage, explained_voxel, heat_of, input_tile, map_tile
from pellucid.report.judge import is_control
from pellucid.report.numbers import number
from pellucid.report.several import finding_strip, most_findings, several_of
from pellucid.report.shade import scale_for, unit_of, warnings_of
from pellucid.report.style import data_uri
from pellucid.study.store import Run

TILES = 140  # of a whole report, so that it is drawn in half a minute and its file can be sent
MOST, LEAST = 6, 2  # cases per task
FLAGS = {"stable": "unstable", "sane": "not_sane", "better": "not_better"}


def gallery(run: Run, task: str, order: Sequence[str]) -> list[dict[str, Any]]:
    """Cases with figures for the page, methods in ``order``."""
    ids = run.cases(task)
    if not ids:
        return []
    asked = run.recipe(task)["explain"] or {"targets": ()}  # maps of an aggregation are there without it
    methods, targets = max(1, len(order)), max(1, min(2, len(asked["targets"])))
    most = min(MOST, max(LEAST, TILES // (len(run.tasks) * methods * targets)))
    outcomes = several_of(run, task)
    first = most_findings(outcomes, ids, most // 2) if len(outcomes) else []
    rest = [i for i in pick(run, task, ids, most) if i not in first]
    return [_case(run, task, i, order, outcomes) for i in [*first, *rest][:most]]


def pick(run: Run, task: str, ids: Sequence[str], most: int) -> list[str]:
    """Cases that show the range: every class right and wrong; scores from low to high; overlaps from poor to good."""
    kind = run.recipe(task)["model"]["task"]
    if kind == "classification":
        found = predictions(run, task)
        rows = found.loc[[i for i in ids if i in found.index]]
        kinds: dict[Any, list[str]] = {}
        for case, row in rows.sort_values("value", ascending=False, kind="stable").iterrows():
            kinds.setdefault((row["truth"] != row["predicted"], row["truth"]), []).append(str(case))
        turns = [kinds[k] for k in sorted(kinds, key=str)]
        chosen = [line[n] for n in range(len(ids)) for line in turns if n < len(line)][:most]
        return (chosen + [i for i in ids if i not in chosen])[:most]
    if kind == "regression":
        values = {i: run.case(task, i).truth for i in ids}
        ranked = sorted(ids, key=lambda i: (values[i] is None, values[i] if values[i] is not None else 0.0))
    else:
        ranked = sorted(ids, key=lambda i: (overlap(run.case(task, i).truth, run.prediction(task, i)) or 0.0, i))
    if len(ranked) <= most:
        return ranked
    return [ranked[round(k * (len(ranked) - 1) / max(1, most - 1))] for k in range(most)]


def predictions(run: Run, task: str) -> pd.DataFrame:
    """One row per case: ``truth``, ``predicted`` and the value of the predicted class; index the case."""
    table = run.table("predictions", task)
    if not len(table):
        return pd.DataFrame(columns=["truth", "predicted", "value"])
    best = table.sort_values("value", ascending=False, kind="stable").drop_duplicates("case")
    return best.set_index("case")[["truth", "predicted", "value"]]


def overlap(truth: Any, predicted: Tensor | None) -> float | None:
    """Dice of everything that is labelled and everything that is predicted; None where one is missing."""
    if not isinstance(truth, Tensor) or predicted is None or truth.shape != predicted.shape:
        return None
    a, b = truth != 0, predicted != 0
    total = int(a.sum() + b.sum())
    return 2 * int((a & b).sum()) / total if total else None


def marks_of(
    recipe: Mapping[str, Any], case: Case, predicted: Tensor | None, target: Mapping[str, Any]
) -> dict[str, NDArray]:
    """Contours of a case: true and predicted mask of the explained class, or the region that plausibility asks for.

    Regions called ``reader_…`` (what single readers drew) take the place of their union.
    """
    found: dict[str, NDArray] = {}
    if recipe["model"]["task"] == "segmentation":
        for name, labels in (("true", case.truth), ("predicted", predicted)):
            if isinstance(labels, Tensor) and tuple(labels.shape) == case.spatial:
                binary = int(labels.max()) <= 1
                wanted = 1 if binary else int(target.get("index", 1))
                found[f"{name}: {str(target.get('label', wanted)).split(' (')[0]}"] = (labels == wanted).numpy()
        return found
    readers = [r for r in case.regions if r.startswith("reader_")]
    for name in readers or [asked_region(recipe, target)]:
        if name in case.regions:
            found[name] = case.region(name).numpy()
    if "confounder" in case.regions:
        found["confounder"] = case.region("confounder").numpy()
    return found


def asked_region(recipe: Mapping[str, Any], target: Mapping[str, Any]) -> str:
    """The region that plausibility compares the map of a target with."""
    asked = str(recipe["evaluate"].get("region") or "lesion")
    return str(target.get("label", asked)) if asked == "target" else asked


def with_checks(a: Attribution) -> Attribution:
    """The attribution with the flags that its later verdicts bring."""
    extra = tuple(f for c, f in FLAGS.items() if c in a.checks and a.checks[c].status == "fail" and f not in a.flags)
    return a.replace(flags=a.flags + extra)


def caption(run: Run, task: str, case: Case, predicted: Tensor | None) -> str:
    """Truth and prediction of a case in words."""
    model = run.recipe(task)["model"]
    classes = [str(c) for c in model.get("classes") or ()]
    if model["task"] == "segmentation":
        dice = overlap(case.truth, predicted)
        return "no truth" if dice is None else f"Dice of everything labelled {number(dice)}"
    if predicted is None:
        return "no prediction"
    if model["task"] == "regression":
        names = classes or [f"score {i}" for i in range(len(predicted))]
        said = ", ".join(f"{n} {number(float(v))}" for n, v in zip(names, predicted))
        return f"true {number(case.truth)}, predicted {said}"
    name = lambda k: classes[k] if k < len(classes) else f"class {k}"  # noqa: E731
    table = predictions(run, task)
    told = str(table.loc[case.id, "predicted"]) if case.id in table.index else str(int(predicted.argmax()))
    if "|" in told or "|" in str(table.loc[case.id, "truth"] if case.id in table.index else ""):
        yes = [
            f"{name(k)} {number(float(v))}" for k, (v, on) in enumerate(zip(predicted, told.split("|"))) if on == "1"
        ]
        return "predicted " + (", ".join(yes) or "none of the labels")
    if len(predicted) == 1:
        on = told == "1"
        return f"truth {case.truth}, predicted {told} (probability {number(float(predicted[0]))})" + _right(
            case.truth, on
        )
    k = int(told)
    text = f"predicted {name(k)} (probability {number(float(predicted[k]))})"
    if not isinstance(case.truth, int):
        return text
    return f"truth {name(case.truth)}, {text}" + _right(case.truth, k)


def _right(truth: Any, predicted: Any) -> str:
    return "" if truth is None else ": right" if int(truth) == int(predicted) else ": wrong"


def _case(run: Run, task: str, case_id: str, order: Sequence[str], outcomes: pd.DataFrame) -> dict[str, Any]:
    recipe, case, predicted = run.recipe(task), run.case(task, case_id), run.prediction(task, case_id)
    maps = sorted(
        # Masked maps stand beside what they were made from, in a gallery of their own.
        (with_checks(a) for a in run.attributions(task, case_id) if (a.refinement or {}).get("refiner") != "segx"),
        key=lambda a: order.index(a.method) if a.method in order else len(order),
    )
    targets: list[dict[str, Any]] = []
    rows = outcomes[outcomes["case"] == case_id] if len(outcomes) else outcomes
    strip = finding_strip(run, case, maps, order, rows) if len(rows) and case.images else None
    labels = list(dict.fromkeys(str(a.target["label"]) for a in maps))
    shown = labels[: 1 if strip else 2]  # all findings are side by side above: of one alone all methods
    for label in shown:
        mine = [a for a in maps if str(a.target["label"]) == label]
        targets.append(_target(run, recipe, case, predicted, mine, label))
    return {
        "id": case_id, "caption": caption(run, task, case, predicted), "targets": targets, "findings": strip,
        "left_out": [] if strip else labels[2:],
    }  # fmt: skip


def _target(
    run: Run, recipe: Mapping[str, Any], case: Case, predicted: Tensor | None, maps: list[Attribution], label: str
) -> dict[str, Any]:
    marks = marks_of(recipe, case, predicted, maps[0].target)
    heat = [heat_of(a) for a in maps if a.images and not is_control(a.method)]
    volume = len(case.spatial) == 3
    stage = Stage(case, marks, explained_voxel(next(iter(marks.values()), None), heat[:1]) if volume else None)
    methods = run.info.get("methods", {})
    unit = lambda a: unit_of(a, str(methods.get(base_of(a.method), {}).get("family", "")))  # noqa: E731
    tiles = [
        {
            "method": a.method,
            "control": is_control(a.method),
            "uri": data_uri(map_tile(stage, a, unit=unit(a))),
            "alt": _alt(a, case, unit(a)),
            "flags": warnings_of(a.flags),
        }
        for a in maps
        if a.images
    ]
    shown: dict[str, Any] = {
        "label": label,
        "score": number(maps[0].score),
        "tiles": tiles,
        "pictures": None,
        "bars": None,
        "planes": "Planes through the middle of the explained region, or the peak of the first map." if volume else "",
    }
    if case.images:
        said = f"Input {', '.join(case.images)} of case {case.id}" + (
            f" with contours of {', '.join(marks)}" if marks else ""
        )
        shown["pictures"] = {"uri": data_uri(input_tile(stage, case.images)), "alt": said}
    tables = [a for a in maps if a.tables]
    if tables:
        figure = table_bars(
            tables, case, features=recipe["model"].get("features") or {}, units=[unit(a) for a in tables]
        )
        said = f"Signed bars of the table’s columns for {label}, case {case.id}: {', '.join(a.method for a in tables)}"
        shown["bars"] = {"uri": data_uri(figure, colours=64), "alt": said}
    return shown


def _alt(a: Attribution, case: Case, unit: str) -> str:
    flags = f" Flags: {'; '.join(warnings_of(a.flags))}." if a.flags else ""
    return (
        f"Map of {a.method} for {a.target['label']} over {', '.join(a.images)} of case {case.id}; "
        f"colours {scale_for(a).text}, {unit}.{flags}"
    )
