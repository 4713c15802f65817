"""ROC and precision-recall curves with their bands, a pair of panels for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pellucid.report.style import GRID, INK, QUIET, SERIES, canvas, house_style

ACROSS = 3  # classes in a row
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve over ``x``, its band (NaN without), what is written beside it, and where the model's answers lie."""

    x: Array
    y: Array
    low: Array
    high: Array
    said: str
    answer: tuple[float, float] | None = None
    level: float | None = None  # of a dotted line: the share of the cases that have the class


def curve_pairs(classes: Sequence[tuple[str, Curve, Curve]]) -> Figure:
    """For each class its ROC curve, and below it its precision-recall curve; of one class beside it.

    Args:
        classes: name, ROC, precision-recall.
    """
    across = min(ACROSS, max(1, len(classes)))
    down = -(-len(classes) // across)
    with house_style():
        single = len(classes) == 1
        figure = canvas(0.6 + 5.6, 3.0) if single else canvas(0.4 + 2.75 * across, 0.35 + 5.3 * down)
        grid = figure.subplots(1, 2, squeeze=False).T if single else figure.subplots(2 * down, across, squeeze=False)
        for k, (name, roc, pr) in enumerate(classes):
            row, column = 2 * (k // across), k % across
            upper, lower = grid[row, column], grid[row + 1, column]
            upper.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=":")
            _draw(upper, roc)
            _draw(lower, pr)
            upper.set_title(name, parse_math=False)
            upper.set(xlabel="false positive rate", ylabel="sensitivity" if column == 0 else "")
            lower.set(xlabel="recall (sensitivity)", ylabel="precision" if column == 0 else "")
        for k in range(len(classes), down * across):
            for offset in (0, 1):
                grid[2 * (k // across) + offset, k % across].set_visible(False)
        return figure


def _draw(axis: Axes, curve: Curve) -> None:
    known = np.isfinite(curve.low) & np.isfinite(curve.high)
    axis.fill_between(curve.x[known], curve.low[known], curve.high[known], color=SERIES[0], alpha=0.18, linewidth=0)
    axis.plot(curve.x, curve.y, color=SERIES[0], linewidth=1.4)
    if curve.level is not None:
        axis.axhline(curve.level, color=QUIET, linewidth=0.8, linestyle=":")
    if curve.answer is not None:
        axis.plot(*curve.answer, marker="o", markersize=5, color=SERIES[1], markeredgecolor="white", linestyle="none")
    # Where the curve leaves most room: below a ROC curve, and where a precision-recall curve is not.
    low = curve.level is None or float(np.nanmean(curve.y[curve.x > 0.4])) > 0.5
    axis.text(0.97, 0.04 if low else 0.96, curve.said, transform=axis.transAxes, ha="right",
              va="bottom" if low else "top", fontsize=7.5, color=INK, linespacing=1.35,
              parse_math=False, bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1.5})  # fmt: skip
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axis.set_xticks(np.linspace(0, 1, 6))
    axis.set_yticks(np.linspace(0, 1, 6))
    axis.set_axisbelow(True)
    axis.grid(color=GRID, linewidth=0.6)
