"""Scores of all cases, a line for each class: who is far from the rest?"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pellucid.report.cohort_style import shown
from pellucid.report.labels import width_of
from pellucid.report.style import FOR, GRID, INK, NEUTRAL, QUIET, canvas, house_style


def outlier_strip(found: pd.DataFrame) -> Figure:
    """One row per class, the lowest score on top; outliers in red, each class's lowest with its case.

    Args:
        found: rows of the table ``outliers`` of one method and label map that have a score: ``case``, ``target``,
            ``score``, ``outlier``, and ``trained`` (drawn as rings) where another cohort was trained on.
    """
    lowest = found.loc[found.groupby("target", sort=False)["score"].idxmin()].sort_values("score", kind="stable")
    names = [str(t) for t in lowest["target"]]
    ring = found["trained"].astype(bool) & (not found["trained"].all())
    with house_style():
        left, wide, tall = 0.2 + width_of([shown(n) for n in names], size=8.6), 5.2, 0.24 * len(names)
        width, height = left + wide + 0.15, 0.34 + tall + 0.75
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((left / width, 0.75 / height, wide / width, tall / height))
        axis.axvline(0, color=QUIET, linewidth=0.9, linestyle=":")
        for y, (name, case) in enumerate(zip(names, lowest["case"])):
            mine = found[found["target"] == name]
            for out, colour in ((False, NEUTRAL), (True, FOR)):
                for known, face in ((False, colour), (True, "white")):
                    some = mine[(mine["outlier"].astype(bool) == out) & (ring[mine.index] == known)]
                    axis.plot(some["score"], [y] * len(some), "o", markersize=4, color=colour, markerfacecolor=face,
                              alpha=0.85, markeredgewidth=0.9, clip_on=False)  # fmt: skip
            axis.annotate(str(case), (float(mine["score"].min()), y), xytext=(-5, 0), textcoords="offset points",
                          ha="right", va="center", fontsize=7, color=INK, parse_math=False)  # fmt: skip
        low, high = float(found["score"].min()), float(found["score"].max())
        room = (high - low or 0.1) * (0.06 + width_of([str(c) for c in lowest["case"]], size=7) / wide)
        axis.set_xlim(low - 1.15 * room, high + 0.03 * (high - low))
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_yticks(range(len(names)), [shown(n) for n in names])
        for label in axis.get_yticklabels():
            label.set(parse_math=False, color=INK)
        axis.tick_params(axis="y", length=0)
        axis.set_axisbelow(True)
        axis.grid(axis="x", color=GRID, linewidth=0.6)
        axis.spines["left"].set_visible(False)
        axis.set_xlabel("score of the isolation forest: lower is more unusual, left of the dotted line an outlier")
        handles = [Line2D([], [], marker="o", linestyle="", markersize=4, color=c, label=n)
                   for n, c in (("a case", NEUTRAL), ("called an outlier", FOR))]  # fmt: skip
        if ring.any():
            handles.append(Line2D([], [], marker="o", linestyle="", markersize=4, color=NEUTRAL,
                                  markerfacecolor="white", label="the forest was grown on it"))  # fmt: skip
        figure.legend(handles=handles, loc="lower right", bbox_to_anchor=(1 - 0.1 / width, 0.02 / height),
                      ncols=len(handles), borderaxespad=0, handletextpad=0.2, columnspacing=1.2)  # fmt: skip
        return figure
