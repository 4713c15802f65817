"""An experiment as a picture: each level of a factor with its folds, its mean and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from pellucid.report.labels import width_of
from pellucid.report.style import GRID, INK, QUIET, SERIES, canvas, house_style

EACH, GAP, ROW = 2.5, 0.3, 0.34  # inches: a panel, between two, a level


@dataclass(frozen=True)
class Dots:
    """A level in a metric.

    Attributes:
        name: the level's.
        mean: over its folds.
        low: of the interval; NaN where there is none.
        high: of the same.
        folds: value of each fold; NaN is not drawn.
        control: whether it knows nothing of the model.
        baseline: whether the others are tested against it.
        differs: whether the test tells it from the baseline.
    """

    name: str
    mean: float
    low: float
    high: float
    folds: Sequence[float]
    control: bool = False
    baseline: bool = False
    differs: bool = False


def fold_dots(panels: dict[str, list[Dots]]) -> Figure:
    """A panel for each metric, a row for each level: small dots are folds, the large one their mean with its interval.

    The axis is made for the folds: an interval that is much wider goes on beyond it, which an arrow says. The dotted
    line is the mean of the baseline. A square in place of a dot is a level that the test tells from the baseline;
    controls are grey.
    """
    first = next(iter(panels.values()))
    names = [d.name for d in first]
    margin, tall = 0.32 + width_of(names), ROW * len(names)
    width, height = margin + (EACH + GAP) * len(panels), tall + 0.62
    with house_style():
        figure = canvas(width, height, layout="none")
        for k, (title, levels) in enumerate(panels.items()):
            left = margin + k * (EACH + GAP)
            axis = figure.add_axes((left / width, 0.34 / height, EACH / width, tall / height))
            low, high = _limits(levels)
            axis.set_xlim(low, high)
            for y, d in enumerate(levels):
                colour = QUIET if d.control else SERIES[1] if d.differs else SERIES[0]
                known = [v for v in d.folds if math.isfinite(v)]
                axis.plot(known, [y + 0.2] * len(known), "o", color=colour, markersize=2.6, alpha=0.55,
                          markeredgewidth=0)  # fmt: skip
                if math.isfinite(d.low) and math.isfinite(d.high):
                    ends = max(d.low, low), min(d.high, high)
                    axis.plot(ends, [y - 0.08] * 2, color=colour, linewidth=1.3)
                    for end, beyond, mark in ((ends[0], d.low < low, "<"), (ends[1], d.high > high, ">")):
                        if beyond:
                            axis.plot(end, y - 0.08, mark, color=colour, markersize=4, clip_on=False)
                if math.isfinite(d.mean):
                    axis.plot(d.mean, y - 0.08, "s" if d.differs else "o", color=colour, markersize=5)
                if d.baseline and math.isfinite(d.mean):
                    axis.axvline(d.mean, color=INK, linewidth=0.9, linestyle=(0, (1, 1.6)), zorder=0)
            axis.set(ylim=(len(names) - 0.5, -0.5))
            axis.set_yticks(range(len(names)), names if k == 0 else [""] * len(names))
            for label, d in zip(axis.get_yticklabels(), levels):
                label.set(parse_math=False, color=QUIET if d.control else INK)
            for edge in range(1, len(names)):
                axis.axhline(edge - 0.5, color=GRID, linewidth=0.5, zorder=0)
            axis.set_title(title, parse_math=False)
            axis.tick_params(axis="y", length=0, pad=7)
            axis.locator_params(axis="x", nbins=5)
            axis.grid(axis="x", color=GRID, linewidth=0.6)
            axis.set_axisbelow(True)
        return figure


def _limits(levels: Sequence[Dots]) -> tuple[float, float]:
    """Room for all folds, and as much again for the intervals, if they need it."""
    known = [v for d in levels for v in (*d.folds, d.mean) if math.isfinite(v)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    most = max(high - low, 0.02 * max(abs(low), abs(high), 1e-6))
    ends = [v for d in levels for v in (d.low, d.high) if math.isfinite(v)]
    left, right = min([low, *ends]), max([high, *ends])
    small = 0.08 * most
    return max(left, low - 0.5 * most) - small, min(right, high + 0.5 * most) + small
