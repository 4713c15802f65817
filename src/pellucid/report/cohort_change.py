"""What changes between two cohorts, and how much evidence lies outside a class: numbers with their intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pellucid.report.cohort_boxes import MASS, MOST_ROWS
from pellucid.report.cohort_style import colour_of, legend, named_rows, patches, shown
from pellucid.report.labels import width_of
from pellucid.report.style import GRID, INK, QUIET, canvas, house_style

LEVEL = 0.05
MOST = 24  # cells
BEHIND = "#edf0f3"  # the background


def change_figure(
    found: pd.DataFrame, *, names: tuple[str, str], measure: str = "mass", systems: Mapping[str, str] | None = None
) -> Figure:
    """The cells that differ most for their spread, with 95 % intervals; filled where Holm's p is below 0.05.

    Where no cell has an interval, the largest differences, as they are.

    Args:
        found: of :func:`~pellucid.aggregate.cohort.change.what_changes`.
        names: of the two cohorts; the difference is the second less the first.
        measure: its name, for the axis.
        systems: class to system of the body, for colours (those of the target).
    """
    tested = bool(found["low"].notna().any())
    known = found[(found["low"] if tested else found["difference"]).notna()]
    size = known["effect" if tested else "difference"].abs().fillna(0)
    few = known.reindex(size.sort_values(ascending=False, kind="stable").index).head(MOST)
    labels = [f"{shown(str(t))}  ←  {shown(str(r))}" for t, r in zip(few["target"], few["region"])]
    with house_style():
        left, wide = 0.25 + width_of(labels, size=8.2, least=2.0), 3.6
        tall = 0.22 * max(1, len(few))
        width, height = left + wide + 1.75, 0.6 + tall + 1.0
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((left / width, 1.0 / height, wide / width, tall / height))
        axis.axvline(0, color=QUIET, linewidth=0.9)
        for y, row in enumerate(few.to_dict("records")):
            colour = colour_of(str(row["target"]), systems)
            sure = row["p_holm"] < LEVEL
            if np.isfinite(row["low"]):
                axis.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.2)
            face = colour if sure else "white"
            axis.plot(row["difference"], y, "o", markersize=5, color=colour, markerfacecolor=face)
        axis.set_yticks(range(len(few)), labels)
        for label in axis.get_yticklabels():
            label.set(parse_math=False, color=INK)
        axis.set_ylim(max(1, len(few)) - 0.4, -0.6)
        axis.tick_params(axis="y", length=0)
        axis.set_axisbelow(True)
        axis.grid(axis="x", color=GRID, linewidth=0.6)
        axis.spines["left"].set_visible(False)
        axis.locator_params(axis="x", nbins=6)
        one, two = (shown(n) for n in names)
        n, m = int(found["patients_a"].max()), int(found["patients_b"].max())
        said = (
            f"95 % intervals of single cells; filled: Holm's p < {LEVEL}\nover {int(found['p'].notna().sum())} cells "
            f"({int((found['p_holm'] < LEVEL).sum())} of them)"
            if tested else "too few patients for intervals or tests"
        )  # fmt: skip
        axis.set_xlabel(f"difference in {measure}: {two} ({m} patients) less {one} ({n})\n{said}", parse_math=False)
        first = "effects" if tested else "differences"
        figure.text(0.12 / width, 1 - 0.1 / height, f"What changes: class ← region, the largest {first} first",
                    va="top", fontweight="bold", fontsize=9)  # fmt: skip
        targets = [str(t) for t in few["target"]]
        legend(figure, patches(targets, systems), right=(left + wide + 0.15) / width, top=1 - 0.6 / height)
        return figure


def context_figure(found: pd.DataFrame, *, systems: Mapping[str, str] | None = None) -> Figure:
    """Each class's evidence inside its region, in other classes and in the background, the most inside on top.

    Args:
        found: of :func:`~pellucid.aggregate.cohort.context.context_share`.
        systems: class to system of the body, for colours.
    """
    parts = found.pivot(index="target", columns="part", values="mean")
    bounds = found[found["part"] == "inside"].set_index("target")
    known = parts[parts["inside"].notna() & (parts["background"].notna() | parts["other classes"].isna())]
    if parts["background"].notna().any():
        known = known[known["background"].notna()]  # the background's own row has no context in these words
    names = [str(t) for t in known.sort_values("inside", ascending=False, kind="stable").index][:MOST_ROWS]
    with house_style():
        left, wide, tall = 0.25 + width_of([shown(n) for n in names], size=8.6), 4.3, 0.24 * max(1, len(names))
        width, height = left + wide + 1.7, 0.55 + tall + 0.8
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((left / width, 0.8 / height, wide / width, tall / height))
        for y, name in enumerate(names):
            inside, other, back = parts.loc[name, ["inside", "other classes", "background"]].to_numpy(float)
            colour = colour_of(name, systems)
            axis.barh(y, inside, height=0.66, color=colour)
            if np.isfinite(other):
                axis.barh(y, other, left=inside, height=0.66, color=colour, alpha=0.35)
                axis.barh(y, back, left=inside + other, height=0.66, color=BEHIND)
            else:
                axis.barh(y, 1 - inside, left=inside, height=0.66, color=BEHIND)
            low, high = bounds.loc[name, ["low", "high"]].to_numpy(float)
            if np.isfinite(low):
                axis.plot([low, high], [y, y], color=INK, linewidth=1.4)
        named_rows(axis, names, systems=systems)
        axis.set_xlim(0, 1)
        n = int(found["n"].max())
        axis.set_xlabel(f"{MASS}, mean of {n} cases\nfull: inside the class (line: 95 % interval); "
                        "pale: in other classes; grey: background")  # fmt: skip
        axis.set_title("Context: evidence inside and outside each class", loc="left", fontweight="bold")
        legend(figure, patches(names, systems), right=(left + wide + 0.15) / width, top=1 - 0.55 / height)
        return figure
