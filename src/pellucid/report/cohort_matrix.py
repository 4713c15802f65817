"""Classes × regions as a heat map, and the tree of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram

from pellucid.aggregate.cohort.clusters import Clusters
from pellucid.aggregate.cohort.cube import BACKGROUND
from pellucid.report.cohort_style import colour_of, legend, patches, shown
from pellucid.report.labels import width_of
from pellucid.report.style import GRID, INK, QUIET, SIGNED, UNSIGNED, canvas, house_style

MOST_WRITTEN = 24  # classes, of more the cells are too small for numbers


def mass_matrix(
    values: pd.DataFrame, *, order: Sequence[str] = (), title: str = "Mean mass, in percent", signed: bool = False,
    marked: pd.DataFrame | None = None, marks: str = "", systems: Mapping[str, str] | None = None,
    background: str = BACKGROUND, times: bool = False,
) -> Figure:  # fmt: skip
    """A row for each target, a column for each region, numbers in percent.

    The background, which holds most of the evidence, would hide the rest: it is a column of numbers without colour.
    Unsigned values are coloured by their square root from 0 to the largest; signed ones evenly around 0.

    Args:
        values: index the targets, columns the regions.
        order: of targets and regions, those that are not named at the end.
        title: what the numbers are.
        signed: whether they are differences.
        marked: cells, like ``values``, that get a ring.
        marks: what the ring says.
        systems: class to system of the body, for the colours of the names.
        background: the region that is not coloured.
        times: the numbers are ratios such as enrichment: as they are, coloured evenly around 1 by their logarithm.
    """
    rows = [n for n in (*order, *values.index) if n in values.index and n != background]
    columns = [n for n in (*order, *values.columns) if n in values.columns and n != background]
    rows, columns = list(dict.fromkeys(rows)), list(dict.fromkeys(columns))
    scale = 1.0 if times else 100.0
    inner = scale * values.loc[rows, columns].to_numpy(float)
    finite = inner[np.isfinite(inner)]
    top = float(np.abs(finite).max()) if finite.size and np.abs(finite).max() > 0 else 1.0
    behind = background in values.columns
    cell = 0.36 if max(len(rows), len(columns)) <= MOST_WRITTEN else 0.2
    left = 0.2 + width_of([shown(n) for n in rows], size=8.4) + (0.42 if behind else 0.0)
    above = 0.4 + width_of([shown(n) for n in (*columns, *([background] if behind else []))], size=8.4)
    wide, tall = cell * len(columns), cell * len(rows)
    key = patches([*rows, *columns], systems)
    key = [] if [p.get_label() for p in key] == ["other"] else key  # zones and findings are of no system
    high = min(tall, 1.7)  # of the colour bar; the key below it may need more than the matrix has
    low = 0.4 + max(0.0, high + 0.25 + 0.2 * len(key) - tall)
    width, height = max(4.8, left + wide + 1.95), above + tall + low
    norm: Any = mpl.colors.Normalize(-top, top) if signed else mpl.colors.PowerNorm(0.5, 0, top)
    if times:
        far = max(2.0, top)
        norm, inner = mpl.colors.LogNorm(1 / far, far, clip=True), np.where(inner < 1e-9, 1e-9, inner)
    cmap = mpl.colormaps[SIGNED if signed or times else UNSIGNED].with_extremes(bad="#e8ebee")
    with house_style():
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((left / width, low / height, wide / width, tall / height))
        picture = axis.imshow(np.ma.masked_invalid(inner), cmap=cmap, norm=norm, aspect="auto")
        written = max(len(rows), len(columns)) <= MOST_WRITTEN
        for i, target in enumerate(rows):
            for j, region in enumerate(columns):
                v = inner[i, j]
                if written:
                    bright = sum(c * w for c, w in zip(cmap(norm(v)), (0.3, 0.59, 0.11))) if np.isfinite(v) else 1
                    axis.text(j, i, _said(v, signed), ha="center", va="center", fontsize=6.5,
                              color=INK if bright > 0.5 else "white")  # fmt: skip
                if marked is not None and bool(marked.loc[target, region]):
                    axis.add_patch(mpl.patches.Rectangle((j - 0.44, i - 0.44), 0.88, 0.88, fill=False, edgecolor=INK,
                                                         linewidth=1.6))  # fmt: skip
            if behind:
                back = _said(scale * float(values.loc[target, background]), signed)
                axis.text(-0.62, i, back, ha="right", va="center", fontsize=7.5, color=QUIET)
        _names(axis, rows, columns, systems, pad=0.42 if behind else 0.0)
        if behind:
            axis.text(-0.85, -0.75, shown(background), rotation=90, ha="center", va="bottom", fontsize=8, color=QUIET)
        figure.text(0.12 / width, 1 - 0.1 / height, title, va="top", fontweight="bold", fontsize=9)
        figure.text(0.12 / width, (low - 0.1) / height, "columns: region; rows: class that is explained"
                    + (f"; {marks}" if marks else ""), va="top", fontsize=7.5, color=QUIET)  # fmt: skip
        bar = figure.add_axes(((left + wide + 0.18) / width, (low + tall - high) / height, 0.12 / width,
                               high / height))  # fmt: skip
        ticks = [-top, -top / 2, 0, top / 2, top] if signed else [0, top / 16, top / 4, top / 2, top]
        if times:
            ticks = [1 / far, far**-0.5, 1, far**0.5, far]
        figure.colorbar(picture, cax=bar, ticks=ticks)
        bar.set_yticklabels([f"{t:.2g}" if times else _said(t, signed) for t in ticks])
        bar.minorticks_off()
        unit = "times (log scale)" if times else "percentage points" if signed else "percent (root scale)"
        bar.set_ylabel(unit, fontsize=7.5)
        bar.tick_params(labelsize=7.5, length=2)
        legend(figure, key, right=(left + wide + 0.15) / width, top=(low + tall - high - 0.15) / height)
        return figure


def tree_figure(found: Clusters, *, systems: Mapping[str, str] | None = None) -> Figure:
    """The tree of classes, its leaves at the right, with the cophenetic correlation."""
    names = [found.names[i] for i in found.order]
    with house_style():
        right, wide = 0.2 + width_of([shown(n) for n in names], size=8.4), 3.6
        tall = 0.22 * len(names)
        width, height = 0.35 + wide + right + 1.6, 0.5 + tall + 0.62
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((0.35 / width, 0.62 / height, wide / width, tall / height))
        drawn = dendrogram(found.tree, no_plot=True)
        for joints, heights in zip(drawn["icoord"], drawn["dcoord"]):
            axis.plot(heights, [(j - 5) / 10 for j in joints], color=INK, linewidth=1.1, solid_joinstyle="miter")
        deepest = max((max(h) for h in drawn["dcoord"]), default=1.0) or 1.0
        axis.set(xlim=(1.04 * deepest, 0.0), ylim=(len(names) - 0.4, -0.6))
        axis.yaxis.tick_right()
        axis.set_yticks(range(len(names)), [shown(n) for n in names])
        for label, name in zip(axis.get_yticklabels(), names):
            label.set(parse_math=False, color=colour_of(name, systems))
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.set_axisbelow(True)
        axis.grid(axis="x", color=GRID, linewidth=0.6)
        said = f"cophenetic correlation {found.cophenetic:.2f}" if np.isfinite(found.cophenetic) else "no correlation"
        axis.set_xlabel(f"distance max(√mass) − √mass\naverage linkage, {said}")
        axis.set_title("Classes that the model sees together", loc="left", fontweight="bold")
        legend(figure, patches(names, systems), right=(0.35 + wide + right) / width, top=1 - 0.5 / height)
        return figure


def _names(axis: Any, rows: Sequence[str], columns: Sequence[str], systems: Any, *, pad: float) -> None:
    axis.xaxis.tick_top()
    axis.set_xticks(range(len(columns)), [shown(n) for n in columns], rotation=90)
    axis.set_yticks(range(len(rows)), [shown(n) for n in rows])
    axis.tick_params(length=0)
    axis.tick_params(axis="y", pad=3 + 72 * pad)
    for label, name in (*zip(axis.get_xticklabels(), columns), *zip(axis.get_yticklabels(), rows)):
        label.set(parse_math=False, color=colour_of(name, systems))
    axis.spines[:].set_visible(False)


def _said(value: float, signed: bool) -> str:
    if not np.isfinite(value):
        return "–"
    text = f"{abs(value):.1f}" if abs(value) < 9.95 else f"{abs(value):.0f}"
    if float(text) == 0:
        return "0"
    return text if not signed else ("−" if value < 0 else "+") + text
