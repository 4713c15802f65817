"""What the masked maps owe to the quality of the mask: agreement and certainty by the mask's Dice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pellucid.report.curves import Line, dice_curves
from pellucid.report.judge import CONTROLS
from pellucid.report.numbers import DASH, interval, is_number, number
from pellucid.report.pieces import Panel, panel, picture
from pellucid.study.store import Run

ALL, AS_IT_IS = "all", "none"
LIT = 4  # methods in colour
SAID = 0.8  # the Dice at which sentences are made, or the nearest there is
SHOWN = {
    "top_iou": "same salient places (IoU)", "segu": "SegU certainty", "discarded_mass": "hidden evidence",
    "mass_accuracy": "mass accuracy", "top_kept": "salient places kept", "spearman": "Spearman’s ρ within both masks",
    "dice": "Dice with the region", "pointing_game": "pointing game",
}  # fmt: skip
FIRST = ("top_iou", "segu", "discarded_mass", "mass_accuracy")  # in the first picture
TOP = 0.05


def mask_quality_panel(run: Run, task: str, order: Sequence[str]) -> list[Panel]:
    """Agreement, certainty, hidden evidence and plausibility as the mask gets worse; by kind; the numbers."""
    table = run.table("segmentation_quality_summary", task)
    if not len(table):
        return []
    worse = table[table["kind"] != AS_IT_IS]
    known = [m for m in SHOWN if m in set(worse["measure"])]
    methods = [m for m in order if m in set(worse["method"])]
    methods += [m for m in dict.fromkeys(worse["method"]) if m not in methods]
    everything = worse[worse["kind"] == ALL]
    kinds = [k for k in dict.fromkeys(worse["kind"]) if k != ALL]
    first = {SHOWN[m]: _lines(everything, m, methods) for m in known if m in FIRST}
    by_kind = {k: _lines(worse[worse["kind"] == k], "top_iou", methods) for k in kinds}
    said = _sentences(run, task, everything, methods)
    reference = _reference(run, task)
    notes = [
        f"The mask was made worse by {', '.join(kinds)}. Every point is the mean over the cases that have a mask of "
        f"about that Dice with {reference[0]}, with a 95 % bootstrap interval over patients, from five patients on. "
        "Salient places are chosen as SegX does. The random map shows how much of a curve is the mask’s doing. Two "
        "points of a curve are of different masks, and may be of different cases, so that it need not rise steadily.",
        *([reference[1]] if reference[1] else []),
    ]
    more = [("The numbers by kind", _table(worse, [k for k in known if k == "top_iou"], methods, kinds))]
    second = panel("By what was done to the mask", f"{SHOWN['top_iou']}.", picture=_picture(by_kind))
    return [
        panel(
            "How good does the mask have to be?", said[0] if said else "no intervals to speak of.", points=said,
            picture=_picture(first), notes=notes, table=_table(everything, known, methods, [ALL]),
            more=more if kinds else [],
        ),
        *([second] if second["picture"] else []),
    ]  # fmt: skip


def _lines(own: pd.DataFrame, measure: str, methods: Sequence[str]) -> list[Line]:
    """A curve for each method: the first few in colour with their intervals, the rest in grey."""
    found = []
    lit = [m for m in methods if m not in CONTROLS][:LIT]
    for method in methods:
        mine = own[(own["measure"] == measure) & (own["method"] == method) & own["low"].notna()]
        mine = mine.sort_values("mean_dice")
        if len(mine):
            x, y, low, high = (mine[c].tolist() for c in ("mean_dice", "mean", "low", "high"))
            found.append(Line(method, x, y, low, high, lit=method in lit, control=method in CONTROLS))
    return found


def _picture(panels: Mapping[str, Sequence[Line]]) -> dict[str, str] | None:
    panels = {k: v for k, v in panels.items() if v}
    if not panels:
        return None
    said = "; ".join(
        f"{title}: "
        + ", ".join(
            f"{v.name} {number(v.y[0])} at {number(v.x[0])}, {number(v.y[-1])} at {number(v.x[-1])}" for v in lines
        )
        for title, lines in panels.items()
    )
    return picture(dice_curves(panels), f"By the Dice of the mask. {said}")


def _sentences(run: Run, task: str, own: pd.DataFrame, methods: Sequence[str]) -> list[str]:
    """What is left of the salient places at a Dice of about 0.8, and of the certainty."""
    share = f"{100 * _top(run.recipe(task)):g} %"
    found = []
    usable = own[(own["measure"] == "top_iou") & own["low"].notna()]
    if not len(usable):
        return []
    bins = np.array(sorted(usable["dice"].unique()))
    at = float(bins[np.argmin(np.abs(bins - SAID))])
    here = own[np.isclose(own["dice"], at)]
    place = f"At a mask Dice of about {at:.1f}"
    for method in [m for m in methods if m not in CONTROLS][:LIT] + [m for m in methods if m == "random"]:
        rows = {str(r["measure"]): r for r in here[here["method"] == method].to_dict("records")}
        r = rows.get("top_iou")
        if r is None or not is_number(r["low"]):
            continue
        text = (
            f"{place} the top {share} of the SegX map of {method} shares {_percent(r)} with that of the mask as it was "
            "(intersection over union)"
        )
        s, was = rows.get("segu"), _as_it_was(run, task, method, "segu")
        if s is not None and is_number(s["low"]) and is_number(was):
            text += f"; its SegU certainty is {number(s['mean'])} {interval(s['low'], s['high'])}, from {number(was)}"
        found.append(text + ".")
    return found


def _percent(r: Mapping[Any, Any]) -> str:
    return f"{100 * r['mean']:.0f} % [{100 * r['low']:.0f}, {100 * r['high']:.0f}]"


def _as_it_was(run: Run, task: str, method: str, measure: str) -> float:
    table = run.table("segmentation_quality", task)
    own = table[(table["kind"] == AS_IT_IS) & (table["method"] == method) & (table["measure"] == measure)]
    return float(own.groupby("case")["value"].mean().mean()) if len(own) else float("nan")


def _reference(run: Run, task: str) -> tuple[str, str]:
    """What the masks' Dice is taken with, and how good the mask was before it was made worse."""
    table = run.table("segmentation_quality", task)
    own = table[table["kind"] == AS_IT_IS].drop_duplicates("case") if len(table) else table
    if not len(own):
        return "the mask as it was", ""
    names = own["reference"].astype(str).unique().tolist()
    if bool((own["mask_dice"] == 1).all()):
        return "the mask as it was", "No true region was compared with: a Dice of 1 is the mask that SegX used."
    mean = number(own["mask_dice"].mean())
    text = f"As it was, the mask has a Dice of {mean} with {' or '.join(names)}, mean over cases."
    return f"the region {' or '.join(names)}", text


def _top(recipe: Mapping[str, Any]) -> float:
    """The share of salient places that the analysis looked at."""
    for asked, key in ((recipe.get("analysis") or [], "segmentation_quality"), (recipe.get("refine") or [], "segx")):
        for one in asked:
            options = one.get(key) if isinstance(one, Mapping) else None
            if options and options.get("top") is not None:
                return float(options["top"])
    return TOP


def _table(own: pd.DataFrame, measures: Sequence[str], methods: Sequence[str], kinds: Sequence[str]) -> dict[str, Any]:
    """Rows are methods and bins of Dice; columns are measures, or kinds where there is one measure."""
    columns = [(m, k) for m in measures for k in kinds]
    cells_of = {
        (str(r["method"]), round(float(r["dice"]), 1), str(r["measure"]), str(r["kind"])): r
        for r in own.to_dict("records")
    }
    rows = []
    for method in methods:
        for dice in sorted({k[1] for k in cells_of if k[0] == method}, reverse=True):
            found = [cells_of.get((method, dice, m, k)) for m, k in columns]
            cells = [
                {"text": number(r["mean"]), "small": interval(r["low"], r["high"]) or str(r["note"])}
                if r is not None else {"text": DASH, "small": ""} for r in found
            ]  # fmt: skip
            if any(r is not None and is_number(r["low"]) for r in found):
                name = f"{method}, Dice {dice:.1f}"
                rows.append({"name": name, "control": method in CONTROLS, "cells": cells})
    names = [k if len(kinds) > 1 else SHOWN.get(m, m) for m, k in columns]
    return {"head": ["map, and the mask’s Dice", *names], "rows": rows}
