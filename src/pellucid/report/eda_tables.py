"""The page's pieces on tabular inputs and on scores: violins by class, correlations by class."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pellucid.report.eda_charts import matrices, violins
from pellucid.report.eda_people import outlines_of
from pellucid.report.numbers import interval, number
from pellucid.report.pieces import Panel, listed, panel, picture
from pellucid.study.store import Run

CLASSES = 3  # matrices side by side


def table_panels(run: Run, task: str) -> list[Panel]:
    """For each table its features by class, and which go together."""
    table, found = run.table("eda_features", task), []
    related, outlines = run.table("eda_correlations", task), run.table("eda_violins", task)
    for name in dict.fromkeys(table["table"]) if len(table) else ():
        own = table[table["table"] == name]
        drawn = outlines[outlines["source"] == name] if len(outlines) else outlines
        found.append(_features(str(name), own, drawn))
        found += _correlations(str(name), related[related["table"] == name] if len(related) else related)
    return found


def _features(name: str, own: pd.DataFrame, drawn: pd.DataFrame) -> Panel:
    features = [str(f) for f in dict.fromkeys(own["feature"])]
    shown = [str(f) for f in dict.fromkeys(drawn["feature"])] if len(drawn) else []
    panels = {f: outlines_of(drawn[drawn["feature"] == f], own[own["feature"] == f]) for f in shown}
    size = own.assign(size=own["smd"].abs()).sort_values("size", ascending=False, kind="stable")
    first = [r for r in size.to_dict("records") if np.isfinite(r["smd"])][:1]
    line = f"{len(features)} features"
    if first:
        line += f"; farthest apart: {first[0]['feature']}, {first[0]['class']} {number(first[0]['smd'])} "
        line += f"standard deviations {interval(first[0]['low'], first[0]['high'])}"
    notes = [
        "Bar: half of the cases; point: the median. Apart: standardised difference of the class's mean to the other "
        "cases, with its 95 % interval over patients."
    ]
    left = [f for f in features if f not in shown]
    if left:
        notes.append(f"Drawn are the {len(shown)} in which the classes differ most; not {listed(left)}.")
    rows = [
        {"name": f"{r['feature']}, {r['class']}", "control": False, "cells": [
            {"text": number(r["mean"]), "small": ""}, {"text": number(r["sd"]), "small": ""},
            {"text": number(r["median"]), "small": f"{number(r['q05'])} to {number(r['q95'])}"},
            {"text": number(r["smd"]), "small": interval(r["low"], r["high"])},
            {"text": str(r["cases"]), "small": f"{r['missing']} missing" if r["missing"] else ""}]}
        for r in own.to_dict("records")
    ]  # fmt: skip
    figure = picture(violins(panels), f"Violins of {', '.join(shown)}") if panels else None
    head = ["feature and class", "mean", "sd", "median (5 to 95 %)", "apart", "cases"]
    return panel(f"Table {name} by class", line, notes=notes, picture=figure, table={"head": head, "rows": rows})


def _correlations(name: str, own: pd.DataFrame) -> list[Panel]:
    own = own[own["rho"].notna()] if len(own) else own
    if not len(own):
        return []
    features = [str(f) for f in dict.fromkeys([*own["a"], *own["b"]])]
    drawn, told = {}, []
    for group in list(dict.fromkeys(own["class"]))[:CLASSES]:
        mine = own[own["class"] == group]
        place = {f: k for k, f in enumerate(features)}
        rho = np.full((len(features), len(features)), np.nan)
        np.fill_diagonal(rho, 1.0)
        for r in mine.to_dict("records"):
            i, j = place[str(r["a"])], place[str(r["b"])]
            rho[i, j] = rho[j, i] = r["rho"]
        first = mine.sort_values("rho", key=abs, ascending=False, kind="stable").iloc[0]
        ends = interval(first["low"], first["high"])
        told.append(f"{group}: {first['a']} and {first['b']} {number(first['rho'])} {ends}".strip())
        drawn[f"{group} (n {int(mine['cases'].iloc[0])})"] = rho
    rows = [
        {"name": f"{r['a']} and {r['b']}, {r['class']}", "control": False, "cells": [
            {"text": number(r["rho"]), "small": interval(r["low"], r["high"])}, {"text": str(r["cases"]), "small": ""}]}
        for r in own.reindex(own["rho"].abs().sort_values(ascending=False).index).head(24).to_dict("records")
    ]  # fmt: skip
    return [
        panel(f"Which features of {name} go together", f"strongest, Spearman's ρ: {told[0]}",
              picture=picture(matrices(drawn, features), "Strongest correlations. " + "; ".join(told)),
              notes=[f"Strongest in {'; in '.join(told)}. Written are those of 0.1 and more."],
              table={"head": ["features and class", "ρ", "cases"], "rows": rows})
    ]  # fmt: skip


def score_panels(run: Run, task: str) -> list[Panel]:
    """How the score is distributed over the parts; none where there is no score."""
    table, outlines = run.table("eda_scores", task), run.table("eda_violins", task)
    if not len(table):
        return []
    own = table.rename(columns={"part": "class"})
    drawn = outlines[outlines["source"] == "score"] if len(outlines) else outlines
    panels = {
        str(s): outlines_of(drawn[drawn["feature"] == s], own[own["score"] == s])
        for s in (dict.fromkeys(drawn["feature"]) if len(drawn) else ())
    }  # fmt: skip
    whole = own[own["class"] == "all"].iloc[0]
    line = f"{whole['score']}: mean {number(whole['mean'])} {interval(whole['low'], whole['high'])}"
    rows = [
        {"name": f"{r['score']}, {r['class']}", "control": False, "cells": [
            {"text": number(r["mean"]), "small": interval(r["low"], r["high"])}, {"text": number(r["sd"]), "small": ""},
            {"text": number(r["skewness"]), "small": ""},
            {"text": number(r["median"]), "small": f"{number(r['q25'])} to {number(r['q75'])}"},
            {"text": f"{number(r['least'])} to {number(r['most'])}", "small": ""},
            {"text": str(r["cases"]), "small": f"{r['patients']} patients"}]}
        for r in own.to_dict("records")
    ]  # fmt: skip
    shown = picture(violins(panels, across=2), f"Distribution by part. {line}.") if panels else None
    head = ["score and part", "mean", "sd", "skewness", "median (quartiles)", "range", "cases"]
    return [panel("The score by part", line, picture=shown, table={"head": head, "rows": rows})]
