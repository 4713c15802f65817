"""How readers rated each method: bars about the middle of the scale, and means with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pellucid.report.charts import Bar
from pellucid.report.labels import width_of
from pellucid.report.style import GRID, INK, QUIET, canvas, house_style

SCALE = ("strongly disagree", "disagree", "neither", "agree", "strongly agree")  # from 1
# Brown to violet by way of grey: told apart by the colour-blind, and by their lightness in print.
STEPS = ("#b35806", "#f1b56a", "#d5d9de", "#a9a1cf", "#542788")


@dataclass(frozen=True)
class Rated:
    """A method's ratings of one item: how often each value was given, lowest first, and the mean."""

    counts: tuple[int, ...]
    mean: Bar


def likert(panels: Mapping[str, Sequence[Rated]]) -> Figure:
    """One row of two panels for each item, methods down the page.

    Left: the share of each rating; the bar lies so that the middle of the scale is at zero, those who disagree left of
    it. Right: the mean and its 95 % interval.

    Args:
        panels: item to methods, the same in the same order everywhere.
    """
    with house_style():
        names = [r.mean.name for r in next(iter(panels.values()), [])]
        left, wide, gap, narrow, right = 0.2 + width_of(names), 4.4, 0.25, 2.2, 0.15
        tall, above, below = 0.24 * max(1, len(names)), 0.3, 0.08
        height = 0.35 + len(panels) * (tall + above + below) + 0.4
        width = left + wide + gap + narrow + right
        figure = canvas(width, height, layout="none")
        reach = max([0.5, *(max(_sides(r.counts)) for rated in panels.values() for r in rated)])
        for k, (title, rated) in enumerate(panels.items()):
            bottom = (height - 0.35 - (k + 1) * (tall + above + below) + below) / height
            last = k == len(panels) - 1
            bars = figure.add_axes((left / width, bottom, wide / width, tall / height))
            dots = figure.add_axes(((left + wide + gap) / width, bottom, narrow / width, tall / height))
            _bars(bars, rated, reach)
            _dots(dots, rated, len(SCALE))
            for axis in (bars, dots):
                axis.set(ylim=(max(1, len(names)) - 0.5, -0.5))
                axis.tick_params(axis="y", length=0)
                axis.tick_params(axis="x", labelbottom=last)
                axis.set_axisbelow(True)
            bars.set_yticks(range(len(names)), names)
            dots.set_yticks([])
            for label, r in zip(bars.get_yticklabels(), rated):
                label.set(parse_math=False, color=QUIET if r.mean.apart else INK)
            bars.set_title(title, loc="left", parse_math=False, fontweight="bold")
            if last:
                bars.set_xlabel("share of the ratings, %")
                dots.set_xlabel("mean, 95 % interval")
        handles = [Patch(color=c, label=f"{i + 1} {w}") for i, (c, w) in enumerate(zip(STEPS, SCALE))]
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.1 / width, 1 - 0.02 / height),
                      ncol=len(SCALE), borderaxespad=0, columnspacing=1.2, handlelength=1.2)  # fmt: skip
        return figure


def _sides(counts: Sequence[int]) -> tuple[float, float]:
    """How far a bar reaches to the left and to the right of zero, as shares."""
    total, half = sum(counts), len(counts) // 2
    if not total:
        return 0.0, 0.0
    middle = counts[half] / 2
    return (sum(counts[:half]) + middle) / total, (sum(counts[half + 1 :]) + middle) / total


def _bars(axis: Axes, rated: Sequence[Rated], reach: float) -> None:
    for y, r in enumerate(rated):
        total, start = sum(r.counts), -_sides(r.counts)[0]
        for count, colour in zip(r.counts, STEPS):
            share = count / total if total else 0.0
            axis.barh(y, 100 * share, left=100 * start, height=0.72, color=colour)
            start += share
        if not total:
            axis.text(0, y, "no ratings", va="center", ha="center", fontsize=7.5, color=QUIET)
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set_xlim(-100 * min(1.0, reach) - 2, 100 * min(1.0, reach) + 2)
    axis.xaxis.set_major_formatter(lambda x, _: f"{abs(x):.0f}")
    axis.grid(axis="x", color=GRID, linewidth=0.6)


def _dots(axis: Axes, rated: Sequence[Rated], top: int) -> None:
    for y, r in enumerate(rated):
        if not np.isfinite(r.mean.value):
            continue
        colour = QUIET if r.mean.apart else INK
        if r.mean.low is not None and r.mean.high is not None:
            axis.plot([r.mean.low, r.mean.high], [y, y], color=colour, linewidth=1.4, alpha=0.7)
        axis.plot(r.mean.value, y, "s" if r.mean.apart else "o", color=colour, markersize=4.5)
    axis.set_xlim(0.8, top + 0.2)
    axis.set_xticks(range(1, top + 1))
    axis.grid(axis="x", color=GRID, linewidth=0.6)
