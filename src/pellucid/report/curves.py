"""Curves with bands: similarity by layer as a model is scrambled, risk by coverage, maps by the quality of a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.report.style import GRID, INK, MARKERS, QUIET, SERIES, canvas, house_style

STYLES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1, 1, 1)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
FAINT = "#b4bcc5"
MOST_TICKS = 14


@dataclass(frozen=True)
class Line:
    """A curve: ``x`` and ``y``, its band if there is one.

    ``lit`` curves are in colour, others grey in the back; ``chance`` is what a number that knows nothing gives.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    lit: bool = True
    control: bool = False
    chance: bool = False


def layer_curves(panels: Mapping[str, Sequence[Line]], layers: Mapping[str, Sequence[str]]) -> Figure:
    """Similarity of each method's map to the unscrambled model's, layer by layer; one panel for each way to scramble.

    Args:
        panels: title to curves, ``x`` the place of the layer from 0.
        layers: title to names of the layers in that order.
    """
    with house_style():
        most = max((len(v) for v in layers.values()), default=1)
        figure = canvas(1.9 + max(2.8, min(5.2, 0.32 * most)) * max(1, len(panels)), 3.5)
        axes = figure.subplots(1, max(1, len(panels)), sharey=True, squeeze=False)[0]
        for axis, (title, lines) in zip(axes, panels.items()):
            _draw(axis, lines)
            names = [_short(n) for n in layers.get(title, ())]
            every = max(1, -(-len(names) // MOST_TICKS))
            axis.set_xticks(range(0, len(names), every), names[::every], rotation=60, ha="right")
            for label in axis.get_xticklabels():
                label.set(parse_math=False, fontsize=7)
            axis.axhline(0, color=QUIET, linewidth=0.7)
            axis.set_title(title, parse_math=False)
        low = min((_lowest(lines) for lines in panels.values()), default=0.0)
        axes[0].set_ylim(min(-0.05, low - 0.05), 1.03)  # shared by all panels
        axes[0].set_ylabel("similarity to the map as it was")
        _legend(figure, axes)
        return figure


def risk_coverage(panels: Mapping[str, Sequence[Line]]) -> Figure:
    """Error rate among the cases that are kept, by the share kept; the dotted line is a detector that knows nothing."""
    with house_style():
        figure = canvas(1.9 + 3.2 * max(1, len(panels)), 3.0)
        axes = figure.subplots(1, max(1, len(panels)), sharey=True, squeeze=False)[0]
        for axis, (title, lines) in zip(axes, panels.items()):
            _draw(axis, lines)
            axis.set_title(title, parse_math=False)
            axis.set(xlim=(0, 1.02), xlabel="share of the cases kept")
        most = max((v for lines in panels.values() for line in lines for v in line.y if np.isfinite(v)), default=1.0)
        axes[0].set_ylim(-0.03 * (most or 1.0), 1.05 * (most or 1.0))  # shared by all panels
        axes[0].set_ylabel("share of errors among them")
        _legend(figure, axes)
        return figure


def dice_curves(panels: Mapping[str, Sequence[Line]]) -> Figure:
    """One panel for each measure or kind: ``y``, from 0 to 1, by the Dice of the mask; two or three panels in a row."""
    with house_style():
        across = min(2 if len(panels) <= 4 else 3, max(1, len(panels)))
        down = -(-len(panels) // across)
        figure = canvas(1.9 + (3.0 if across < 3 else 2.5) * across, 0.3 + 2.3 * down)
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        axes = list(grid.flat)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        for axis, (title, lines) in zip(axes, panels.items()):
            _draw(axis, lines)
            axis.set_title(title, parse_math=False)
        low = min((_lowest(lines) for lines in panels.values()), default=0.0)
        axes[0].set(xlim=(-0.02, 1.02), ylim=(min(-0.02, low - 0.05), 1.02))  # shared by all panels
        for axis in axes[max(0, len(panels) - across) : len(panels)]:
            axis.set_xlabel("Dice of the mask")
            axis.tick_params(axis="x", labelbottom=True)
        _legend(figure, axes[: len(panels)])
        return figure


def _draw(axis: Axes, lines: Sequence[Line]) -> None:
    for line in (line for line in lines if line.chance):
        axis.plot(line.x, line.y, color=INK, linewidth=1.1, linestyle=(0, (1, 1.5)), zorder=2, label=line.name)
    behind = [line for line in lines if not line.lit and not line.chance]
    for line in behind:
        axis.plot(line.x, line.y, color=FAINT, linewidth=1, linestyle=":" if line.control else "-", zorder=1,
                  label="controls" if line.control else "other methods")  # fmt: skip
    for k, line in enumerate(line for line in lines if line.lit and not line.chance):
        colour = SERIES[k % len(SERIES)]
        if len(line.low):
            axis.fill_between(line.x, line.low, line.high, color=colour, alpha=0.13, linewidth=0, zorder=2)
        axis.plot(line.x, line.y, color=colour, linestyle=STYLES[k % len(STYLES)], linewidth=1.5, zorder=3,
                  marker=MARKERS[k % len(MARKERS)] if len(line.x) < 25 else None, markersize=3.5,
                  label=line.name)  # fmt: skip
    axis.set_axisbelow(True)
    axis.grid(color=GRID, linewidth=0.6)


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, name in zip(*axis.get_legend_handles_labels()):
            found.setdefault(name, handle)
    order = sorted(found, key=lambda n: (n == "other methods", n == "controls"))
    if found:
        handles = [found[n] for n in order]
        legend = figure.legend(handles, order, loc="outside right upper", fontsize=7.5, handlelength=3)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _lowest(lines: Sequence[Line]) -> float:
    values = [v for line in lines for v in (*line.y, *line.low) if np.isfinite(v)]
    return min(values, default=0.0)


def _short(name: str) -> str:
    return name if len(name) <= 18 else "…" + name[-17:]
