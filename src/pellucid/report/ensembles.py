"""Ensembles side by side with what they are made of: the picture, the members' maps, the ensemble, the votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.refine.combine import WORDS
from pellucid.report.figures import Stage, explained_voxel, heat_of
from pellucid.report.gallery import caption, marks_of, pick, with_checks
from pellucid.report.layout import BAR, FOOT, GAP, HEAD, colour_bar, contours, draw, place, size_of
from pellucid.report.numbers import interval, number
from pellucid.report.pieces import Panel, count, listed, panel
from pellucid.report.shade import Scale, scale_for, warnings_of
from pellucid.report.style import QUIET, data_uri, house_style, pixels
from pellucid.study.store import Run

MOST, STRIPS, MEMBERS = 3, 2, 4  # cases; ensembles of each; members drawn of each
VOTES = "YlGnBu_r"


def ensemble_gallery(run: Run, task: str) -> list[dict[str, Any]]:
    """Cases with one strip of pictures per ensemble, target and picture; empty where nothing was combined."""
    found = []
    for case_id in pick(run, task, run.cases(task), MOST):
        maps = [with_checks(a) for a in run.attributions(task, case_id)]
        made = [a for a in maps if a.images and "members" in (a.refinement or {})]
        if not made:
            continue
        case, predicted = run.case(task, case_id), run.prediction(task, case_id)
        pairs = [(a, n) for a in made for n in a.images]
        marks = marks_of(run.recipe(task), case, predicted, made[0].target)
        found.append(
            {
                "case": case_id, "caption": caption(run, task, case, predicted),
                "strips": [_strip(case, a, n, maps, marks) for a, n in pairs[:STRIPS]],
                "left_out": list(dict.fromkeys(f"{a.method} of {n}" for a, n in pairs[STRIPS:])),
            }
        )  # fmt: skip
    return found


def weight_panels(run: Run, task: str) -> list[Panel]:
    """The measured weights of each ensemble that has them, with their intervals."""
    table = run.table("ensemble_weights", task)
    if not len(table):
        return []
    found = []
    for name, own in table.groupby("ensemble", sort=False):
        metric, part = str(own["metric"].iloc[0]), str(own["part"].iloc[0])
        rows = [
            {
                "name": str(r["method"]), "control": False,
                "cells": [
                    {"text": number(r["value"]), "small": interval(r["low"], r["high"])},
                    {"text": number(r["control"]), "small": ""},
                    {"text": number(r["gain"]), "small": interval(r["gain_low"], r["gain_high"])},
                    {"text": number(r["weight"]), "small": interval(r["weight_low"], r["weight_high"])},
                    {"text": "", "small": str(r["note"])},
                ],
            }
            for r in own.sort_values("weight", ascending=False, kind="stable").to_dict("records")
        ]  # fmt: skip
        n = count(int(own["n"].max()), "case")
        line = f"by {metric.replace('_', ' ')} on {n} of {part!r}, none of which is explained here."
        notes = [
            "A member’s gain is its mean difference from a random map of the same cases, in the direction in which the "
            "measure is better; its weight is its share of all gains, 0 if it is no better than a random map. "
            "Intervals are 95 %, over patients."
        ]
        head = ["member", metric.replace("_", " "), "random map", "gain", "weight", ""]
        table_ = {"head": head, "rows": rows, "open": True}
        found.append(panel(f"What each member of {name} counts", line, notes=notes, table=table_))
    return found


def strip(stage: Stage, name: str, members: Sequence[Attribution], made: Attribution) -> Figure:
    """The picture, the ensemble from 0 to 1 and the votes; below, the members' maps on scales of their own.

    Of a volume the first plane is drawn.

    Args:
        stage: the case, its marks, and where a volume is cut.
        name: of the input.
        members: those to draw, with a map of that input.
        made: the ensemble.
    """
    refinement: Mapping[str, Any] = made.refinement or {}
    under = stage.cut_background(name)[0]
    marks = [stage.cut(m)[0] for m in stage.marks.values()]
    whole = Scale(1.0, signed=False, clipped=False, zero=not bool(made.maps[name].any()))
    n = int(refinement["n_by_input"][name])
    colours = ListedColormap(mpl.colormaps[VOTES](np.linspace(0, 1, n + 1)))
    votes = stage.cut(np.asarray(refinement["votes"][name], float))[0]

    def over(a: Attribution, scale: Scale) -> NDArray:
        return scale.over(under.values, stage.cut(a.spatial(name).numpy())[0].values)

    rows = [
        [("the picture", under.values), (made.method, over(made, whole)),
         ("votes", colours(np.round(votes.values).astype(int))[..., :3])],
        [(f"{m.method}{_out(m, refinement)}", over(m, scale_for(m))) for m in members],
    ]  # fmt: skip
    with house_style():
        figure, boxes = _two_rows(size_of(under), max(map(len, rows)))
        for cells, line in zip(rows, boxes):
            for (text, picture), box in zip(cells, line):
                axis = draw(figure, box, under, picture)
                contours(axis, marks, coloured=text != "votes")
                axis.set_title(text, fontsize=8, color=QUIET, pad=3, loc="left", parse_math=False)
        colour_bar(figure, boxes, whole, "of its maximum")
        _votes_bar(figure, boxes, colours, n)
        return figure


def _two_rows(size: tuple[int, int], columns: int) -> tuple[Figure, list[list[tuple[int, int, int, int]]]]:
    """A figure with names over both rows of cells, and for each ``(left, bottom, width, height)`` in pixels."""
    h, w = size
    figure = pixels(GAP + columns * (w + GAP) + 2 * BAR, 2 * (HEAD + h) + FOOT)
    lefts = [GAP + k * (w + GAP) for k in range(columns)]
    return figure, [[(left, low, w, h) for left in lefts] for low in (FOOT + h + HEAD, FOOT)]


def _votes_bar(figure: Figure, boxes: list[list[tuple[int, int, int, int]]], colours: ListedColormap, n: int) -> None:
    """One field for each number of votes."""
    left, low, wide, high = boxes[1][-1]
    at = left + wide + GAP + 4 + BAR
    axis = place(figure, (at, low + 6, 10, high - 12))
    mappable = ScalarMappable(BoundaryNorm(np.arange(-0.5, n + 1), n + 1), colours)
    bar = figure.colorbar(mappable, cax=axis, ticks=range(n + 1))
    bar.ax.tick_params(labelsize=7.5, length=0, pad=2)
    bar.outline.set_linewidth(0.5)
    top = boxes[0][-1]
    h, w = figure.get_figheight() * figure.dpi, figure.get_figwidth() * figure.dpi
    text = f"votes,\n0 to {n}"
    figure.text(at / w, (top[1] + top[3]) / h, text, fontsize=7.5, va="top", color=QUIET, linespacing=1.35)


def _strip(
    case: Case, made: Attribution, name: str, maps: Sequence[Attribution], marks: Mapping[str, NDArray]
) -> dict[str, Any]:
    refinement: Mapping[str, Any] = made.refinement or {}
    of = [str(m) for m in refinement["of"]]
    target = (made.target.get("index"), made.target.get("label"))
    own = [
        a for m in of for a in maps
        if a.method == m and (a.target.get("index"), a.target.get("label")) == target and name in a.maps
    ]  # fmt: skip
    volume = len(case.spatial) == 3
    at = explained_voxel(next(iter(marks.values()), None), [heat_of(made)]) if volume else None
    said = _said(made, name, of)
    further = [a.method for a in own[MEMBERS:]]
    if further:
        said += f" Not drawn: {listed(further)}."
    uri = data_uri(strip(Stage(case, marks, at), name, own[:MEMBERS], made))
    return {
        "method": made.method, "of": f"{made.target['label']}, {name}", "uri": uri, "said": said,
        "alt": f"{made.method} for {made.target['label']} on {name} of case {case.id}, with the maps of "
        f"{', '.join(a.method for a in own[:MEMBERS])} and the votes. {said}",
        "flags": warnings_of(made.flags),
    }  # fmt: skip


def _said(made: Attribution, name: str, of: Sequence[str]) -> str:
    """What was combined and how, how far it agrees, and who was left out and why."""
    refinement: Mapping[str, Any] = made.refinement or {}
    options, n = refinement["options"], int(refinement["n_by_input"][name])
    votes = np.asarray(refinement["votes"][name])
    text = f"{WORDS[options['combine']][:1].upper()}{WORDS[options['combine']][1:]}; {n} of {len(of)} maps"
    if refinement.get("weights"):
        shares = [f"{m} {number(w)}" for m, w in zip(of, refinement["weights"])]
        text += f", weights {', '.join(shares)}"
    text += f", blocks of {options['block']}. "
    if n:
        text += f"All {n} vote on {_share(votes == n)}, none on {_share(votes == 0)} of it."
    out = [f"{x['method']} ({x['why']})" for x in refinement["left_out"] if name in x["inputs"]]
    missing = [f"{m} (no map of this case)" for m in refinement.get("missing", [])]
    return text + (f" Left out: {'; '.join([*out, *missing])}." if out or missing else "")


def _share(where: NDArray) -> str:
    """Per cent of the picture, and not 0 where there is some."""
    part = 100 * float(np.mean(where))
    return "under 1 %" if 0 < part < 1 else f"{part:.0f} %"


def _out(a: Attribution, refinement: Mapping[str, Any]) -> str:
    gone = [x["method"] for x in refinement["left_out"] if set(x["inputs"]) & set(a.images)]
    return " (left out)" if a.method in gone else ""
