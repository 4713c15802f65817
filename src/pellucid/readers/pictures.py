"""What a reader sees of a case and of a map: nothing that says who the patient is or which method made the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.report.figures import Stage, explained_voxel, heat_of, input_tile, map_tile
from pellucid.report.gallery import marks_of, predictions
from pellucid.report.judge import is_control
from pellucid.report.numbers import number
from pellucid.report.planes import peak
from pellucid.report.style import DPI, data_uri
from pellucid.study.store import Run

SHARP = 2  # times as many dots as in the report: these pictures are looked at for long
SHADES = 256  # colours of a map's palette, which makes a form small enough to be sent; the picture keeps all of its own


def stage_of(run: Run, task: str, maps: Sequence[Attribution], *, truth: bool, prediction: bool) -> Stage:
    """A case as it lies under all of its maps, the outlines only if they were asked for.

    The planes of a volume are the same for all of its maps: through the middle of the true region where the truth is
    shown, else through the peak of the maps (controls apart), each divided by its own largest value, and added up.
    """
    case: Case = run.case(task, maps[0].case_id)
    found = marks_of(run.recipe(task), case, run.prediction(task, case.id), maps[0].target)
    marks = {k: v for k, v in found.items() if (prediction if k.startswith("predicted: ") else truth)}
    if len(case.spatial) == 2:
        return Stage(case, marks)
    heat = [heat_of(a) for a in maps if not is_control(a.method)]
    summed = np.sum([h / (float(h.max()) or 1.0) for h in heat], axis=0)
    shown = explained_voxel(next(iter(marks.values()), None), [summed]) if truth else peak(summed)
    return Stage(case, marks, shown)


def picture_of(stage: Stage) -> str:
    """The pictures of the case, as a PNG in a data URI without metadata."""
    return _uri(input_tile(stage, stage.case.images), None)


def map_of(stage: Stage, a: Attribution) -> str:
    """A map over its pictures, alone, and its colour bar. Flags and the unit are left out: they tell the method."""
    return _uri(map_tile(stage, a.replace(flags=()), unit=""), SHADES)


def said(run: Run, task: str, case_id: str) -> str:
    """What the model says of a case, in words; empty where it is not said in one (a segmentation)."""
    model = run.recipe(task)["model"]
    output = run.prediction(task, case_id)
    if output is None or model["task"] == "segmentation":
        return ""
    classes = [str(c) for c in model.get("classes") or ()]
    if model["task"] == "regression":
        return ", ".join(f"{_name(classes, i, 'score')} {number(float(v))}" for i, v in enumerate(output))
    table = predictions(run, task)
    told = str(table.loc[case_id, "predicted"]) if case_id in table.index else str(int(output.argmax()))
    if "|" in told:
        return ", ".join(_name(classes, i) for i, on in enumerate(told.split("|")) if on == "1") or "none of the labels"
    if len(output) == 1:
        return _name(classes, 0) if told == "1" else f"not {_name(classes, 0)}"
    return _name(classes, int(told))


def target_of(target: Mapping[str, Any]) -> str:
    """What is explained, in words."""
    return str(target.get("label") or f"output {target['index']}")


def _name(classes: Sequence[str], index: int, kind: str = "class") -> str:
    return classes[index] if index < len(classes) else f"{kind} {index}"


def _uri(figure: Figure, colours: int | None) -> str:
    figure.set_dpi(SHARP * DPI)
    return data_uri(figure, colours=colours)
