"""What is folded below the matrix: context, the importance graph, the tree of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pellucid.aggregate.cohort.clusters import clusters
from pellucid.aggregate.cohort.context import context_share
from pellucid.aggregate.cohort.cube import BACKGROUND, Cube
from pellucid.aggregate.cohort.graph import importance_graph
from pellucid.aggregate.cohort.matrix import square
from pellucid.errors import PellucidError
from pellucid.report.aggregated_table import percent
from pellucid.report.cohort_change import context_figure
from pellucid.report.cohort_graph import importance_figure
from pellucid.report.cohort_matrix import mass_matrix, tree_figure
from pellucid.report.cohort_style import shown
from pellucid.report.numbers import interval, number
from pellucid.report.pieces import Panel, listed, panel, picture

MOST_NODES = 40  # classes in the graph; of more the names cover each other
WEAK = 0.7  # cophenetic correlation below which the tree is not to be read


def enrichment_fold(enriched: pd.DataFrame, order: Sequence[str]) -> list[Panel]:
    """The matrix of enrichment, classes in the order of the matrix of mass."""
    if not len(enriched):
        return []
    other = enriched[enriched["region"] != enriched["target"]]
    other = other[other["low"].notna() & (other["target"] != BACKGROUND) & (other["region"] != BACKGROUND)]
    if not len(other):
        return []
    values = square(enriched)
    columns = [r for r in values.columns if r in (*order, BACKGROUND)]
    drawn = values.loc[[t for t in order if t in values.index], columns]
    best = other.sort_values("mean", ascending=False, kind="stable").to_dict("records")[0]
    said = f"{shown(str(best['region']))} for {shown(str(best['target']))}, × {number(best['mean'])}"
    line = f"most between two classes: {said} {interval(best['low'], best['high'])}."
    note = (
        "Share of the map over the region’s share of the volume: 1 is indifferent, red above, blue below. A region of "
        "a few voxels can have a large number and hardly any of the map."
    )
    figure = mass_matrix(drawn, order=order, title="Mean enrichment", times=True)
    return [panel("Enrichment", line, picture=picture(figure, f"Mean enrichment; most: {said}"), notes=[note])]


def context_fold(mass: Cube) -> list[Panel]:
    """How much of each class’s map lies outside the class."""
    try:
        found = context_share(mass)
    except PellucidError:
        return []
    known = found[(found["part"] == "context") & found["mean"].notna() & (found["target"] != BACKGROUND)]
    if not len(known):
        return []
    low, high = (known.loc[getattr(known["mean"], f)()] for f in ("idxmin", "idxmax"))
    line = (
        f"outside the class lies {percent(low)} ({shown(str(low['target']))}) to {percent(high)} "
        f"({shown(str(high['target']))}) of its map."
    )
    note = (
        "A class’s border is known from both of its sides, so evidence outside it is no fault; a thin structure has "
        "its surroundings within a voxel or two."
    )
    shares = [f"{r['target']} {number(r['mean'])}" for r in known.to_dict("records")]
    alt = "Share outside the class: " + "; ".join(shares)
    rows = [
        {"name": shown(str(t)), "control": False, "cells": [
            {"text": number(r["mean"]), "small": interval(r["low"], r["high"])} for r in own.to_dict("records")]}
        for t, own in found.groupby("target", sort=False)
    ]  # fmt: skip
    table = {"head": ["class", *dict.fromkeys(found["part"])], "rows": rows}
    return [panel("Context share", line, picture=picture(context_figure(found), alt), notes=[note], table=table)]


def graph_fold(means: pd.DataFrame, values: pd.DataFrame) -> list[Panel]:
    """The arrows from regions to classes."""
    title = "Importance graph"
    if len(values) > MOST_NODES:
        said = f"not drawn for {len(values)} classes; pellucid aggregate RUN --classes … draws some of them."
        return [panel(title, said)]
    try:
        edges = importance_graph(means)
    except PellucidError:
        return []
    own = {str(t): float(values.loc[t, t]) for t in values.index if t in values.columns and t != BACKGROUND}
    top = edges[edges["source"] != edges["target"]].sort_values("weight", ascending=False, kind="stable")
    said = ", ".join(
        f"{shown(str(r['source']))} → {shown(str(r['target']))} ({100 * r['weight']:.1f} %)"
        for r in top.head(3).to_dict("records")
    )
    note = (
        "An arrow goes from a region to the class for which it holds a share of the map: a share, no cause. Five are "
        "drawn for each class however small the fifth (fewer where there are fewer regions), and large regions are the "
        "source of many, because mass follows volume. The background is left out."
    )
    figure = importance_figure(edges, own=own, rule="the five regions with most of each class’s map")
    line = f"the strongest between two classes: {said}." if said else "no source beside the class itself."
    drawn = picture(figure, f"Graph of {len(edges)} arrows; strongest: {said}")
    return [panel(title, line, picture=drawn, notes=[note])]


def tree_fold(means: pd.DataFrame) -> list[Panel]:
    """The tree of the classes."""
    try:
        found = clusters(means)
    except PellucidError:
        return []
    known = bool(np.isfinite(found.cophenetic))
    said = f"cophenetic correlation {found.cophenetic:.2f}" if known else "too few classes for a cophenetic correlation"
    weak = known and found.cophenetic < WEAK
    note = (
        "Classes are near where each has much of its evidence in the other (distance max(√mass) − √mass, average "
        "linkage). The cophenetic correlation says how far the tree tells these distances as they are: 1 means fully"
        + ("; here it does not, so look at the matrix." if weak else ".")
        + " A map that spreads over a border makes neighbours near, whatever the model has learnt."
    )
    gone = listed([shown(n) for n in found.left_out])
    out = [f"Left out, because not all masses are known: {gone}."] if gone else []
    alt = "Tree of classes in the order " + ", ".join(found.names[i] for i in found.order)
    drawn = picture(tree_figure(found), alt)
    return [panel("Classes that the model sees together", f"{said}.", picture=drawn, notes=[note, *out])]
