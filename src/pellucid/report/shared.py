"""Which findings come together, are predicted together, and share their evidence: matrices in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pellucid.report.matrix import agreement_matrix
from pellucid.report.numbers import DASH, interval, is_number, number
from pellucid.report.pieces import Panel, count, listed, panel, picture
from pellucid.report.zones import FIRST, methods_of
from pellucid.study.store import Run

CONTROL = "random"
ANSWERS = {"label_phi": "of the labels (φ)", "probability_correlation": "of the predicted probabilities (r)"}
MAPS = {
    "map_correlation": "of the maps, pixel by pixel (mean r)", "map_overlap": "of the maps, magnitude in common",
    "zone_correlation": "of the maps, over zones (mean r)",
    "zone_overlap": "of the maps, magnitude in common over zones",
}  # fmt: skip
CANNOT = (
    "Maps of two findings that lie alike say that the method shows the same places for both, in the pictures in which "
    "both were explained: shared evidence, or a method that cannot tell them apart. Magnitude in common: 1 where two "
    "maps lie alike whatever their signs, 0 where they lie apart; two unrelated maps that fill the picture have much "
    "in common too (read it beside that of two random maps), but their correlation is about 0. "
    "Intervals (95 %) draw patients with all their pictures."
)
MOST = 15


def shared_panels(run: Run, task: str, order: Sequence[str]) -> list[Panel]:
    """The card of the analysis ``cooccurrence``, where the recipe asks for it.

    Args:
        run: whose table is read.
        task: of the run.
        order: methods, the most trusted first.
    """
    table = run.table("cooccurrence", task)
    if not len(table):
        return []
    names = [str(c) for c in run.recipe(task)["model"].get("classes") or ()]
    names = names or list(dict.fromkeys([*table["first"], *table["second"]]))
    methods = methods_of(table[table["method"] != ""], order)
    first = methods[0] if methods else ""
    own = table[table["method"].isin(["", first])]
    shown = [*ANSWERS, *(m for m in ("map_correlation", "map_overlap") if m in set(own["measure"]))]
    if {"zone_correlation"} <= set(own["measure"]):
        shown.append("zone_correlation")
    parts = [_matrix(own, names, m) for m in shown]
    pairs = own[own["measure"] == "map_overlap"]
    both = int((pairs["n"] > 0).sum())
    line = (
        f"{count(len(names), 'finding')} in {count(int(table.loc[table['method'] == '', 'n'].max()), 'picture')}; "
        + (f"maps of {count(both, 'pair')} by {first}, {FIRST}." if first else
           "no picture has maps of two findings: explain several targets, or above_threshold.")
    )  # fmt: skip
    rival = _overlaps(table[table["method"] == CONTROL])
    more = [(f"Pairs, {m}", _pairs(table, m, rival)) for m in methods or [""]]
    points = _points(own, rival)
    title = "Which findings share their evidence"
    return [panel(title, line, points=points, notes=[CANNOT], parts=parts, folds=[], more=more)]


def _matrix(own: pd.DataFrame, names: Sequence[str], measure: str) -> Panel:
    rows = own[own["measure"] == measure]
    place = {n: i for i, n in enumerate(names)}
    values = np.full((len(names),) * 2, np.nan)
    for r in rows.to_dict("records"):
        if r["first"] in place and r["second"] in place:
            i, j = place[r["first"]], place[r["second"]]
            values[i, j] = values[j, i] = r["value"]
    known = rows[rows["value"].notna()]
    words = (ANSWERS | MAPS)[measure]
    top = max(known.to_dict("records"), key=lambda r: float(r["value"]), default=None)
    said = "nothing to compare"
    if top is not None:
        said = f"most alike: {top['first']} and {top['second']}, {_value(top)}, {count(int(top['n']), 'picture')}"
    figure = agreement_matrix(names, values, signed="overlap" not in measure)
    alt = f"Matrix {words} of {listed(list(names), 14)}; {said}"
    return panel(words[:1].upper() + words[1:], f"{said}.", picture=picture(figure, alt, colours=128))


def _value(row: Any) -> str:
    return f"{number(row['value'])} {interval(row['low'], row['high'])}".strip()


def _overlaps(table: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Magnitude in common of every pair."""
    own = table[table["measure"] == "map_overlap"]
    return {(str(r["first"]), str(r["second"])): float(r["value"]) for r in own.to_dict("records")}


def _points(own: pd.DataFrame, beside: Mapping[tuple[str, str], float]) -> list[str]:
    rows = own[(own["measure"] == "map_overlap") & own["low"].notna()]
    rows = rows.sort_values("value", ascending=False, kind="stable")
    said = []
    for r in rows.head(3).to_dict("records"):
        rival = beside.get((str(r["first"]), str(r["second"])))
        than = f"; two random maps {number(rival)}" if is_number(rival) else ""
        said.append(f"{r['first']} and {r['second']}: {_value(r)} of the maps’ magnitude lies in common, in "
                    f"{count(int(r['n']), 'picture')}{than}.")  # fmt: skip
    return said


def _pairs(table: pd.DataFrame, method: str, beside: Mapping[tuple[str, str], float]) -> dict[str, Any]:
    own = table[table["method"].isin(["", method])]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for r in own.to_dict("records"):
        found.setdefault((str(r["first"]), str(r["second"])), {})[str(r["measure"])] = r
    wanted = ["label_phi", "label_lift", "probability_correlation", *(m for m in MAPS if m in set(own["measure"]))]
    by = "map_overlap" if "map_overlap" in wanted else "label_phi"
    size = lambda pair: float(found[pair].get(by, {}).get("value", np.nan))  # noqa: E731
    order = sorted(found, key=lambda pair: -np.nan_to_num(size(pair), nan=-2.0))[:MOST]
    rows = []
    for pair in order:
        cells = []
        for m in wanted:
            one = found[pair].get(m)
            if one is None:
                cells.append({"text": DASH, "small": "", "why": ""})
                continue
            small = interval(one["low"], one["high"]) + (f" n {int(one['n'])}" if m == by else "")
            if m == "map_overlap" and is_number(beside.get(pair)):
                small += f"; random {number(beside[pair])}"
            cells.append({"text": number(one["value"]), "small": small.strip(), "why": str(one["note"] or "")})
        rows.append({"name": " and ".join(pair), "control": False, "cells": cells})
    head = [m.replace("_", " ") for m in wanted]
    return {"head": [f"pair (of {len(found)})" if len(found) > MOST else "pair", *head], "rows": rows}
