"""The page's pieces on classes: how many of each, and which come together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pellucid.report.eda_charts import Row, share_bars, share_matrix
from pellucid.report.matrix import agreement_matrix, clustered
from pellucid.report.numbers import interval, number, p_value
from pellucid.report.pieces import Panel, count, panel, picture
from pellucid.study.store import Run

LEAST = 2  # classes that a matrix is drawn of


def label_panels(run: Run, task: str) -> list[Panel]:
    """Cases and patients of each class by part; none where no class was counted, or where each is in every case."""
    table = run.table("eda_labels", task)
    if not len(table) or (table["share"] == 1).all():
        return []
    parts = [str(p) for p in dict.fromkeys(table["part"]) if p != "all"]
    by = {(r["class"], r["part"]): r for r in table.to_dict("records")}
    classes = [str(c) for c in dict.fromkeys(table["class"])]
    rows = [
        Row(
            name, [by[name, p]["patient_share"] for p in parts], [by[name, p]["low"] for p in parts],
            [by[name, p]["high"] for p in parts], [str(by[name, p]["cases"]) for p in parts],
        )
        for name in classes
    ]  # fmt: skip
    whole = {c: by[c, "all"] for c in classes}
    common = sorted(whole.items(), key=lambda item: -item[1]["cases"])[:4]
    line = ", ".join(f"{c} {r['cases']}" for c, r in common) + (" …" if len(classes) > 4 else "")
    cells = [{"name": c, "control": False, "cells": [_cell(by[c, p]) for p in ("all", *parts)]} for c in classes]
    notes = [
        "Bars: share of the part's patients who have the class in a picture at least, with Wilson's 95 % interval. "
        "Beside them: the number of cases."
    ]
    said = "; ".join(f"{c}: {count(r['cases'], 'case')} of {r['of_cases']}" for c, r in whole.items())
    return [
        panel("Classes", line, notes=notes, picture=picture(share_bars(rows, parts, label="share of patients"), said),
              table={"head": ["class", "all parts", *parts], "rows": cells})
    ]  # fmt: skip


def _cell(r: dict[Any, Any]) -> dict[str, str]:
    share = f"{100 * r['share']:.1f} %" if np.isfinite(r["share"]) else "–"
    small = f"{r['patients']} of {r['of_patients']} patients {interval(r['low'], r['high'])}".strip()
    return {"text": f"{r['cases']} ({share})", "small": small}


def pair_panels(run: Run, task: str) -> list[Panel]:
    """Which classes come together: shares, and φ against independence; none for exclusive classes."""
    table = run.table("eda_cooccurrence", task)
    if not len(table):
        return []
    counts: dict[str, int] = {}
    for r in table.to_dict("records"):
        counts |= {str(r["a"]): int(r["a_cases"]), str(r["b"]): int(r["b_cases"])}
    names = [n for n in counts if counts[n]]
    if len(names) < LEAST:
        return []
    shares, phi = (_square(table, names, *keys) for keys in (("b_given_a", "a_given_b"), ("phi", "phi")))
    order = clustered(phi)
    names = [names[k] for k in order]
    shares, phi = shares[np.ix_(order, order)], phi[np.ix_(order, order)]
    sure = table[table["p_holm"] < 0.05]
    line = f"{len(sure)} of {len(table)} pairs depend on each other (Holm p < 0.05)"
    first = table.reindex(table["phi"].abs().sort_values(ascending=False).index)
    said = "; ".join(f"{r['a']} and {r['b']} φ {number(r['phi'])}" for r in first.head(5).to_dict("records"))
    parts = [
        panel("How many of those with the row's class have the column's", "per cent; behind the name its cases",
              picture=picture(share_matrix(names, shares, [counts[n] for n in names]), f"Shares. {said}")),
        panel("Beyond independence", "φ: 0 where the labels are independent, 1 where they always come together",
              picture=picture(agreement_matrix(names, phi), f"φ of pairs. {said}")),
    ]  # fmt: skip
    rows = [
        {"name": f"{r['a']} and {r['b']}", "control": False, "cells": [
            {"text": str(r["both"]), "small": ""}, {"text": number(r["lift"]), "small": ""},
            {"text": number(r["phi"]), "small": interval(r["low"], r["high"])},
            {"text": p_value(r["p_holm"]) if np.isfinite(r["p_holm"]) else "–", "small": ""}]}
        for r in first.to_dict("records")
    ]  # fmt: skip
    return [
        panel("Which classes come together", line, parts=parts, table={
            "head": ["pair", "cases with both", "times by chance", "φ", "Fisher, Holm"], "rows": rows,
        }, notes=["Alike classes are neighbours. p: Fisher's exact test on one case of each patient."])
    ]  # fmt: skip


def _square(table: pd.DataFrame, names: list[str], forward: str, backward: str) -> Any:
    place = {n: k for k, n in enumerate(names)}
    found = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(found, 1.0)
    for r in table.to_dict("records"):
        if r["a"] in place and r["b"] in place:
            i, j = place[r["a"]], place[r["b"]]
            found[i, j], found[j, i] = r[forward], r[backward]
    return found
