"""The reliability diagram: what is said against what is seen, and how many cases there are of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pellucid.report.style import GRID, INK, QUIET, SERIES, canvas, house_style

ACROSS = 3
BARS = 20


@dataclass(frozen=True, eq=False)
class Bins:
    """A curve: mean probability ``x`` and share ``y`` of each bin, with the interval of the share.

    ``last`` is the one that the model uses; it is drawn solid and in front.
    """

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    last: bool = True


def reliability_diagram(
    panels: Mapping[str, tuple[Sequence[Bins], Sequence[float]]], *, what: str = "probability"
) -> Figure:
    """One panel per title: the curves over the diagonal, and below a histogram of the probabilities.

    Args:
        panels: title to the curves and the probabilities of all cases.
        what: of what the probability is.
    """
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    with house_style():
        figure = canvas(0.5 + 2.7 * across, 0.45 + 3.6 * down)
        grid = figure.subplots(2 * down, across, squeeze=False, gridspec_kw={"height_ratios": [3.4, 1] * down})
        for k, (title, (curves, values)) in enumerate(panels.items()):
            row, column = 2 * (k // across), k % across
            upper, lower = grid[row, column], grid[row + 1, column]
            _curves(upper, curves)
            upper.set_title(title, parse_math=False)
            lower.hist(values, bins=np.linspace(0, 1, BARS + 1), color=QUIET, edgecolor="white", linewidth=0.4)
            lower.set(xlim=(-0.02, 1.02), xlabel=what)
            if column == 0:
                upper.set_ylabel("share that is so")
                lower.set_ylabel("cases")
        for k in range(len(panels), down * across):
            for offset in (0, 1):
                grid[2 * (k // across) + offset, k % across].set_visible(False)
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=len(names), fontsize=7.5)
        return figure


def _curves(axis: Axes, curves: Sequence[Bins]) -> None:
    axis.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=":", label="true probabilities")
    for curve in sorted(curves, key=lambda c: c.last):
        colour = SERIES[0] if curve.last else SERIES[1]
        known = np.isfinite(curve.low) & np.isfinite(curve.high)
        axis.vlines(
            curve.x[known], curve.low[known], curve.high[known], color=colour, linewidth=1.1 if curve.last else 0.8,
            alpha=0.9 if curve.last else 0.6,
        )  # fmt: skip
        axis.plot(
            curve.x, curve.y, color=colour, marker="o" if curve.last else "s", markersize=4.2, linewidth=1.2,
            linestyle="-" if curve.last else (0, (3, 2)), markerfacecolor=colour if curve.last else "white",
            label=curve.name,
        )  # fmt: skip
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.03), xticklabels=[])
    axis.set_xticks(np.linspace(0, 1, 6))
    axis.set_axisbelow(True)
    axis.grid(color=GRID, linewidth=0.6)
    axis.tick_params(axis="x", labelbottom=False)
    axis.spines["left"].set_color(INK)
