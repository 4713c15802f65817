"""Where the evidence for one class lies: box plots over a cohort, bars of one case, histograms of pairs of classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pellucid.report.cohort_style import colour_of, legend, named_rows, patches, shown
from pellucid.report.labels import width_of
from pellucid.report.style import FOR, INK, NEUTRAL, canvas, house_style

MASS = "mass: part of the map's magnitude"
MOST_ROWS = 30


def box_plots(
    numbers: pd.DataFrame, *, measure: str = "mass", left_out: str = "", systems: Mapping[str, str] | None = None
) -> Figure:
    """Box plots of the regions for one class, the largest median on top; the class's own region in bold.

    Args:
        numbers: of :func:`~pellucid.aggregate.cohort.distribution.box_numbers`.
        measure: its name, for the axis.
        left_out: a sentence on what is not drawn.
        systems: class to system of the body, for colours.
    """
    target, few = str(numbers["target"].iloc[0]), numbers.head(MOST_ROWS)
    names = [str(r) for r in few["region"]]
    with house_style():
        figure, axis = _rows(names, f"Evidence for {shown(target)}, by region", systems)
        for y, row in enumerate(few.to_dict("records")):
            colour = colour_of(str(row["region"]), systems)
            axis.plot([row["whisker_low"], row["q1"]], [y, y], color=colour, linewidth=1)
            axis.plot([row["q3"], row["whisker_high"]], [y, y], color=colour, linewidth=1)
            axis.barh(y, row["q3"] - row["q1"], left=row["q1"], height=0.62, facecolor="white", edgecolor=colour,
                      linewidth=1.1)  # fmt: skip
            axis.plot([row["median"]] * 2, [y - 0.31, y + 0.31], color=colour, linewidth=2.2, solid_capstyle="butt")
            for end, reach in (("least", "whisker_low"), ("most", "whisker_high")):
                if row[end] != row[reach]:
                    axis.plot(row[end], y, "o", markersize=2.6, markerfacecolor="none", color=colour,
                              markeredgewidth=0.8)  # fmt: skip
        named_rows(axis, names, own=target, systems=systems)
        axis.set_xlim(min(0.0, float(few["least"].min())), None)
        cases = int(numbers["n"].max())
        more = f"; {len(numbers) - MOST_ROWS} more regions in the CSV file" if len(numbers) > MOST_ROWS else ""
        axis.set_xlabel(f"{_axis(measure)}; {cases} case{'s' * (cases != 1)}, the farthest beyond the whiskers as rings"
                        f"{more}\n{left_out}".rstrip())  # fmt: skip
        return figure


def case_bars(
    numbers: pd.DataFrame, *, measure: str = "mass", left_out: str = "", systems: Mapping[str, str] | None = None
) -> Figure:
    """One case's regions as bars, and where nine of ten cases of the other patients lie.

    Args:
        numbers: of :func:`~pellucid.aggregate.cohort.patient.one_case`.
        measure, left_out, systems: as in :func:`box_plots`.
    """
    target, few = str(numbers["target"].iloc[0]), numbers.head(MOST_ROWS)
    names = [str(r) for r in few["region"]]
    with house_style():
        figure, axis = _rows(names, f"Case {numbers['case'].iloc[0]}: evidence for {shown(target)}, by region", systems)
        for y, row in enumerate(few.to_dict("records")):
            axis.barh(y, row["value"], height=0.62, color=colour_of(str(row["region"]), systems))
            if np.isfinite(row["median"]):
                axis.plot([row["low"], row["high"]], [y, y], color=INK, linewidth=1)
                axis.plot(row["median"], y, "|", color=INK, markersize=7, markeredgewidth=1.4)
        named_rows(axis, names, own=target, systems=systems)
        axis.set_xlim(min(0.0, float(few["value"].min())), None)
        others = int(numbers["n"].max())
        beside = f"line: 5th to 95th percentile and median of {others} other cases" if others else "no other cases"
        axis.set_xlabel(f"{_axis(measure)}; {beside}\n{left_out}".rstrip())
        return figure


def pair_histograms(numbers: pd.DataFrame, *, measure: str = "mass") -> Figure:
    """Histograms of cases: a row for each target, a column for each region, one axis for all.

    Args:
        numbers: of :func:`~pellucid.aggregate.cohort.distribution.histograms`.
        measure: its name, for the axis.
    """
    classes = list(dict.fromkeys(map(str, numbers["target"])))
    k = len(classes)
    with house_style():
        margin = 0.55 + width_of([line for c in classes for line in _folded(shown(c)).split("\n")] + ["evidence for"],
                                 size=8.8)  # fmt: skip
        each, tall = 1.55, 1.05
        width, height = max(5.0, margin + each * k + 0.15), 0.45 + tall * k + 0.5
        figure = canvas(width, height, layout="none")
        grid = figure.subplots(k, k, sharex=True, sharey=True, squeeze=False, gridspec_kw={
            "left": margin / width, "right": 1 - 0.15 / width, "top": 1 - 0.45 / height, "bottom": 0.5 / height,
            "wspace": 0.12, "hspace": 0.14,
        })  # fmt: skip
        for i, target in enumerate(classes):
            for j, region in enumerate(classes):
                axis = grid[i, j]
                own = numbers[(numbers["target"] == target) & (numbers["region"] == region)]
                axis.bar(own["low"], own["count"], own["high"] - own["low"], align="edge", linewidth=0.6,
                         edgecolor="white", color=FOR if i == j else NEUTRAL)  # fmt: skip
                axis.xaxis.set_major_locator(MaxNLocator(3))
                axis.yaxis.set_major_locator(MaxNLocator(3, integer=True))
                if i == 0:
                    axis.set_title(_folded(f"in {shown(region)}"), fontsize=8.5, parse_math=False)
            grid[i, 0].set_ylabel(f"evidence for\n{_folded(shown(target))}", rotation=0, ha="right", va="center",
                                  color=INK, parse_math=False)  # fmt: skip
        figure.supxlabel(f"{_axis(measure)}, by region (columns); number of cases", fontsize=8.5, y=0.08 / height)
        return figure


def _rows(names: list[str], title: str, systems: Mapping[str, str] | None) -> tuple[Figure, Axes]:
    left, right = 0.25 + width_of([shown(n) for n in names], size=8.6), 1.65
    width, height = left + 4.3 + right, 0.45 + 0.24 * len(names) + 0.75
    figure = canvas(width, height, layout="none")
    axis = figure.add_axes((left / width, 0.75 / height, 4.3 / width, 1 - 1.2 / height))
    axis.set_title(title, loc="left", parse_math=False, fontweight="bold", color=INK)
    legend(figure, patches(names, systems), right=(left + 4.45) / width, top=1 - 0.45 / height)
    return figure, axis


def _axis(measure: str) -> str:
    return MASS if measure == "mass" else measure.replace("_", " ")


def _folded(name: str, longest: int = 17) -> str:
    lines = [""]
    for word in name.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > longest:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)

