"""What is so against what is said, on the page: a matrix of exclusive classes, a table of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pellucid.report.labels import width_of
from pellucid.report.numbers import DASH, interval, is_number, number
from pellucid.report.pieces import Panel, count, panel, picture
from pellucid.report.style import INK, canvas, house_style
from pellucid.study.store import Run

MOST = 12  # classes of a matrix that is drawn
RATES = (
    ("yes", "yes", "share", "sensitivity"), ("no", "no", "share", "specificity"),
    ("yes", "yes", "share_said", "precision"), ("no", "no", "share_said", "negative predictive value"),
)  # fmt: skip


def confusion_panels(run: Run, task: str) -> list[Panel]:
    """The confusion of the part that is a test of the model, where the run has any."""
    table = run.table("confusion", task)
    if not len(table):
        return []
    part = next((p for p in dict.fromkeys(table["part"]) if p != "val"), str(table["part"].iloc[0]))
    own = table[table["part"] == part]
    return [_exclusive(own, part) if set(own["class"]) == {"all"} else _labels(own, part)]


def _labels(own: pd.DataFrame, part: str) -> Panel:
    rows = []
    for of, cells in own.groupby("class", sort=False):
        by: dict[tuple[str, str], Any] = {(str(r["truth"]), str(r["said"])): r for r in cells.to_dict("records")}
        reason = "; ".join(dict.fromkeys(str(r["reason"]) for r in by.values() if r["reason"]))
        counts = [by.get(k) for k in (("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no"))]
        texts = [{"text": number(int(r["count"])) if r is not None and is_number(r["count"]) else DASH, "small": ""}
                 for r in counts]  # fmt: skip
        for truth, said, column, _ in RATES:
            r = by.get((truth, said))
            tail = column.removeprefix("share")
            found = r is not None and is_number(r[column])
            texts.append({
                "text": number(r[column]) if r is not None and found else DASH,
                "small": interval(r[f"low{tail}"], r[f"high{tail}"]) if r is not None and found else "",
                "why": "" if found else reason,
            })  # fmt: skip
        rows.append({"name": str(of), "control": False, "cells": texts})
    head = ["class", "true positive", "false negative", "false positive", "true negative", *(n for *_, n in RATES)]
    notes = [f"{part}, each label at its threshold. 95 % bootstrap intervals over patients."]
    return panel("Confusion", f"{len(rows)} labels at their thresholds, {part}.", notes=notes,
                 table={"head": head, "rows": rows, "open": True})  # fmt: skip


def _exclusive(own: pd.DataFrame, part: str) -> Panel:
    names = list(dict.fromkeys(str(v) for v in own["truth"]))
    by: dict[tuple[str, str], Any] = {(str(r["truth"]), str(r["said"])): r for r in own.to_dict("records")}
    rows = [
        {"name": f"is {t}", "control": False, "cells": [
            {"text": number(int(r["count"])), "small": f"{number(r['share'])} {interval(r['low'], r['high'])}".strip(),
             "why": str(r["reason"])}
            for s in names for r in [by[t, s]]]}
        for t in names
    ]  # fmt: skip
    notes = [f"{part}. Each row sums to 1: the share of the cases of a class that are called so, with 95 % bootstrap "
             "intervals over patients."]  # fmt: skip
    worst = max(((t, s) for t in names for s in names if t != s), key=lambda k: _count(by[k]))
    line = f"{part}: most often {worst[0]} is called {worst[1]} ({count(_count(by[worst]), 'case')})."
    if not _count(by[worst]):
        line = f"{part}: no case is called wrong."
    drawn = None
    if len(names) <= MOST:
        alt = "Confusion: " + "; ".join(f"{t} called {s} {number(int(_count(by[t, s])))}" for t in names for s in names)
        drawn = picture(matrix(names, by), alt)
    table = {"head": ["", *(f"called {s}" for s in names)], "rows": rows}
    return panel("Confusion", line, notes=notes, picture=drawn, table=table)


def _count(row: Any) -> float:
    return float(row["count"])


def matrix(names: Sequence[str], by: dict[tuple[str, str], Any]) -> Figure:
    """Counts in cells, the darker the larger the share of the row; what is right is framed."""
    n, cell = len(names), 0.62
    left, top = 0.55 + width_of(names), 0.55 + width_of(names) * (0.75 if n > 3 else 0.1)
    width, height = left + cell * n + 0.15, top + cell * n + 0.1
    with house_style():
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((left / width, 0.1 / height, cell * n / width, cell * n / height))
        share = np.array([[by[t, s]["count"] for s in names] for t in names], float)
        whole = share.sum(1, keepdims=True)
        share = np.divide(share, whole, out=np.zeros_like(share), where=whole > 0)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
        for i, t in enumerate(names):
            for j, s in enumerate(names):
                dark = share[i, j] > 0.6
                axis.text(j, i - 0.08, number(int(_count(by[t, s]))), ha="center", va="center", fontsize=8.5,
                          color="white" if dark else INK)  # fmt: skip
                axis.text(j, i + 0.24, f"{100 * share[i, j]:.0f} %", ha="center", va="center", fontsize=6.5,
                          color="white" if dark else INK)  # fmt: skip
            axis.add_patch(Rectangle((i - 0.48, i - 0.48), 0.96, 0.96, fill=False, edgecolor=INK, linewidth=0.9))
        axis.xaxis.tick_top()
        axis.xaxis.set_label_position("top")
        axis.set_xticks(range(n), list(names), rotation=45 if n > 3 else 0, ha="left" if n > 3 else "center")
        axis.set_yticks(range(n), list(names))
        axis.set(xlabel="called", ylabel="is")
        for label in (*axis.get_xticklabels(), *axis.get_yticklabels()):
            label.set_parse_math(False)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        return figure
