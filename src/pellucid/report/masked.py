"""Maps before and after a mask, side by side: the picture, the map, what the mask leaves of it, its top share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.refiner import is_masked
from pellucid.report.figures import Stage, explained_voxel
from pellucid.report.gallery import asked_region, pick, with_checks
from pellucid.report.judge import CONTROLS
from pellucid.report.layout import BAR, FOOT, GAP, colour_bar, contours, draw, grid, size_of
from pellucid.report.numbers import number
from pellucid.report.shade import scale_for, unit_of, warnings_of
from pellucid.report.style import QUIET, data_uri, house_style
from pellucid.study.store import Run

MOST, METHODS = 8, 4  # explained classes of cases; methods of each
TOP = "#00a651"
WORDS = {"TP": "true positive", "FP": "false positive", "FN": "false negative", "TN": "true negative"}
HEADS = ("the picture, and the mask", "the map", "what the mask leaves", "its top share")


def masked_gallery(run: Run, task: str, order: Sequence[str]) -> list[dict[str, Any]]:
    """Explained classes with one strip of pictures per masked map; empty where no map was masked.

    True and false positives take turns, and within them the classes.
    """
    found = []
    scores, outcomes = run.table("scores", task), run.table("outcomes", task)
    for case_id, index in _chosen(run, task, outcomes):
        maps = [with_checks(a) for a in run.attributions(task, case_id)]
        pairs = _pairs([a for a in maps if index is None or int(a.target["index"]) == index], order)
        if not pairs:
            continue
        case = run.case(task, case_id)
        found.append(
            {
                "case": case_id, "label": str(pairs[0][0].target["label"]), **_outcome(outcomes, case_id, index),
                "strips": [_strip(run, task, case, plain, masked, scores) for plain, masked in pairs[:METHODS]],
                "left_out": [plain.method for plain, _ in pairs[METHODS:]],
            }
        )  # fmt: skip
        if len(found) == MOST:
            break
    return found


def strip(stage: Stage, name: str, plain: Attribution, masked: Attribution, *, unit: str = "") -> Figure:
    """One row: the picture with the mask, the map, the masked map on the same colours, and the top share of that.

    Of a volume the first plane through the mask is drawn.

    Args:
        stage: the case, its marks (the mask first), and where a volume is cut.
        name: of the input.
        plain: the map as its method made it.
        masked: the same after the mask; its ``refinement`` holds the top share.
        unit: of the map's numbers.
    """
    scale = scale_for(plain)
    under = stage.cut_background(name)[0]
    marks = [stage.cut(m)[0] for m in stage.marks.values()]
    maps = [stage.cut(a.spatial(name).numpy())[0] for a in (plain, masked)]
    shown = stage.cut(_top(masked, name, stage.case.spatial))[0]
    chosen = np.asarray(shown.values) != 0
    painted = np.where(chosen[..., None], 0.25 * under.values + 0.75 * np.asarray(to_rgb(TOP)), under.values)
    pictures = [under.values, *(scale.over(under.values, m.values) for m in maps), painted]
    with house_style():
        figure, boxes = grid([size_of(under)] * 4, rows=1, foot=FOOT, bar=BAR)
        for k, (picture, text) in enumerate(zip(pictures, HEADS)):
            axis = draw(figure, boxes[0][k], under, picture)
            contours(axis, marks, coloured=True)
            axis.set_title(text, fontsize=8, color=QUIET, pad=3, loc="left")
        halves = [[(l, b + h // 2, w, h - h // 2) for l, b, w, h in boxes[0]]]
        halves.append([(l, b, w, h // 2 - GAP) for l, b, w, h in boxes[0]])
        colour_bar(figure, halves, scale, unit)
        return figure


def _pairs(maps: Sequence[Attribution], order: Sequence[str]) -> list[tuple[Attribution, Attribution]]:
    """Every map that is no control with what the mask made of it, in the order of trust."""
    plain = {a.method: a for a in maps if not is_masked(a) and a.images}
    found = []
    for a in maps:
        made = a.refinement or {}
        of = made.get("of")
        of = of[0] if isinstance(of, list | tuple) and len(of) == 1 else of
        if made.get("refiner") == "segx" and of in plain and of not in CONTROLS:
            found.append((plain[str(of)], a))
    place = {m: i for i, m in enumerate(order)}
    return sorted(found, key=lambda pair: place.get(pair[0].method, len(place)))


def _strip(
    run: Run, task: str, case: Case, plain: Attribution, masked: Attribution, scores: pd.DataFrame
) -> dict[str, Any]:
    made: Mapping[str, Any] = masked.refinement or {}
    name = next(n for n in masked.images if n in plain.maps)
    mask = np.asarray(made["mask"]) > 0.5
    marks: dict[str, NDArray] = {"mask": mask}
    asked = asked_region(run.recipe(task), plain.target)
    if asked in case.regions and not np.array_equal(case.region(asked).numpy(), mask):
        marks[asked] = case.region(asked).numpy()
    stage = Stage(case, marks, explained_voxel(mask, []) if len(case.spatial) == 3 else None)
    family = str(run.info.get("methods", {}).get(plain.method, {}).get("family", ""))
    hidden, certainty = _hidden(made), _certainty(scores, plain)
    hides = f"The mask hides {100 * hidden:.0f} % of the evidence." if np.isfinite(hidden) else "There is no evidence."
    said = [
        hides,
        "SegU certainty: not measured." if certainty is None else f"SegU certainty {certainty}.",
    ]
    flags = [f for f in warnings_of(masked.flags) if f not in warnings_of(plain.flags)]
    return {
        # One map through several masks: the name that the recipe gave says which.
        "method": plain.method if masked.method == f"segx({plain.method})" else masked.method,
        "uri": data_uri(strip(stage, name, plain, masked, unit=unit_of(plain, family))),
        "alt": f"{plain.method} for {plain.target['label']} on {name} of case {case.id}, before and after the mask. "
        + " ".join(said),
        "said": " ".join(said),
        "flags": flags,
        "contours": " and ".join(f"{'solid' if i == 0 else 'dashed'}: {m}" for i, m in enumerate(marks)),
    }


def _hidden(made: Mapping[str, Any]) -> float:
    """The discarded mass over all inputs."""
    value = made.get("discarded_mass")
    if isinstance(value, Mapping):
        value = value.get("all", next(iter(value.values()), None))
    return float("nan") if value is None else float(value)


def _certainty(scores: pd.DataFrame, a: Attribution) -> str | None:
    if not len(scores):
        return None
    own = scores[
        (scores["case"] == a.case_id) & (scores["method"] == a.method)
        & (scores["target_index"] == int(a.target["index"])) & scores["metric"].astype(str).str.match(r"segu(\(|$)")
    ]  # fmt: skip
    if not len(own):
        return None
    row = own.iloc[0]
    return number(float(row["value"])) if pd.notna(row["value"]) else f"undefined ({row['reason']})"


def _top(a: Attribution, name: str, shape: tuple[int, ...]) -> NDArray:
    top = (a.refinement or {}).get("top") or {}
    return np.asarray(top[name], dtype=bool) if name in top else np.zeros(shape, dtype=bool)


def _chosen(run: Run, task: str, table: pd.DataFrame) -> list[tuple[str, int | None]]:
    """Cases and classes that have maps, in the order in which they are shown."""
    own = table[table["explained"]] if len(table) else table
    if not len(own):
        return [(i, None) for i in pick(run, task, run.cases(task), MOST)]
    turns: list[list[tuple[str, int]]] = []
    ranked = own.sort_values("probability", ascending=False, kind="stable")
    for word in ("TP", "FP", "FN", "TN", None):
        rows = ranked[ranked["outcome"].isna() if word is None else ranked["outcome"] == word]
        classes = [
            [(str(r["case"]), int(r["target_index"])) for r in part.to_dict("records")]
            for _, part in rows.groupby("target_index", sort=True)
        ]
        turns.append([c[n] for n in range(len(rows)) for c in classes if n < len(c)])
    return [turn[n] for n in range(len(own)) for turn in turns if n < len(turn)]


def _outcome(table: pd.DataFrame, case_id: str, index: int | None) -> dict[str, Any]:
    own = table[(table["case"] == case_id) & (table["target_index"] == index)] if len(table) else table
    if not len(own):
        return {"outcome": "", "word": "", "said": ""}
    row = own.iloc[0]
    known = isinstance(row["outcome"], str)
    said = f"probability {number(float(row['probability']))}"
    if np.isfinite(row["threshold"]):
        said += f", threshold {number(float(row['threshold']))}"
    return {
        "outcome": row["outcome"] if known else "", "word": WORDS[row["outcome"]] if known else "truth unknown",
        "said": said,
    }  # fmt: skip
