"""What the metrics kept beside their numbers: similarity of a map by layer, as the model is scrambled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pellucid.report.curves import Line, layer_curves
from pellucid.report.judge import base, is_control
from pellucid.report.numbers import mean_interval, number
from pellucid.report.pieces import Panel, panel, picture
from pellucid.study.store import Run

LIT = 5  # methods in colour
MOST = 3  # panels side by side
LAYERED = ("mprt", "smooth_mprt")  # the metrics whose parts are layers


def layers_panel(run: Run, task: str, order: Sequence[str]) -> list[Panel]:
    """Similarity by layer, the most trusted methods in colour; empty if no metric kept any."""
    table = run.table("details", task)
    if not len(table):
        return []
    table = table[table["metric"].map(lambda m: base(str(m)) in LAYERED) & table["value"].notna()]
    names = list(dict.fromkeys(table["metric"].astype(str)))[:MOST]
    if not names:
        return []
    lit = [m for m in order if not is_control(m) and m in set(table["method"])][:LIT]
    panels, layers, ends = {}, {}, []
    for metric in names:
        own, title = table[table["metric"] == metric], metric.replace("_", " ")
        place = own.groupby("part")["position"].mean().sort_values(kind="stable")
        layers[title] = [str(p) for p in place.index]
        panels[title] = [
            _line(own[own["method"] == m], m, layers[title], lit=m in lit) for m in order if m in set(own["method"])
        ]
        ends += [f"{title}, {v.name}: {number(v.y[0])} to {number(v.y[-1])}" for v in panels[title] if v.lit]
    last = {v.name: float(v.y[-1]) for lines in panels.values() for v in lines if not is_control(v.name)}
    high = [m for m, v in last.items() if v > 0.5]
    line = f"{len(high)} of {len(last)} methods keep a similarity above 0.5 to the end."
    note = (
        "From left to right ever more layers have random weights, in the order that the measure scrambles them. A map "
        "that shows what was learned falls towards zero; one that stays high shows the picture or the architecture."
    )
    alt = "Similarity of the map by scrambled layer, first to last: " + "; ".join(ends)
    return [panel("As the model is scrambled, layer by layer", line, picture=picture(layer_curves(panels, layers), alt),
                  points=[f"Similar to the end: {', '.join(high)}."] if high else [], notes=[note])]  # fmt: skip


def _line(own: pd.DataFrame, method: str, layers: Sequence[str], *, lit: bool) -> Line:
    values, low, high = [], [], []
    for layer in layers:
        rows = own[own["part"] == layer]
        per_case = rows.groupby(["case", "group"], dropna=False)["value"].mean().reset_index()
        owner = per_case["group"].fillna(per_case["case"]).astype(str).tolist()
        mean, a, b, _ = mean_interval(per_case["value"].tolist(), owner, draws=500 if lit else 1)
        values.append(mean)
        low.append(a)
        high.append(b)
    banded = lit and bool(np.isfinite(low).any())
    if not banded:
        low, high = [], []
    return Line(method, range(len(layers)), values, low, high, lit, is_control(method))
