"""Charts of a data set: bars with intervals, stacked shares, violins, histograms by class, shares in a matrix, dots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pellucid.report.labels import width_of
from pellucid.report.numbers import number
from pellucid.report.style import GRID, INK, QUIET, SERIES, SIGNED, canvas, house_style

HATCHES = ("", "////", "....", "xx", "\\\\\\\\", "--", "++")
STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
WRITTEN = 0.1  # correlations from here on are written into their cells
MOST = len(SERIES)  # series that can be told apart


@dataclass(frozen=True)
class Outline:
    """A violin: where it is how wide, its quartiles, and how many values it is of."""

    name: str
    x: NDArray[np.float64]
    width: NDArray[np.float64]
    quartiles: tuple[float, float, float] | None = None
    n: int | None = None


@dataclass(frozen=True)
class Dot:
    """A mean with its interval, and how far single values spread about it."""

    name: str
    value: float
    low: float
    high: float
    spread: float = float("nan")


@dataclass(frozen=True)
class Row:
    """A bar for each series: share, interval, and what is written at its end."""

    name: str
    shares: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    texts: Sequence[str] = field(default_factory=tuple)


def share_bars(rows: Sequence[Row], series: Sequence[str], *, label: str) -> Figure:
    """Shares in horizontal bars, one group for each row and a bar for each series, with intervals."""
    each = len(series)
    with house_style():
        left = width_of([r.name for r in rows]) + 0.25
        figure = canvas(left + 5.2, 0.75 + 0.165 * len(rows) * (each + 0.6))
        axis = figure.subplots()
        most = max([0.02, *(v for r in rows for v in (*r.shares, *r.high) if np.isfinite(v))])
        for y, row in enumerate(rows):
            for k in range(each):
                at = y * (each + 0.6) + k
                share = row.shares[k]
                if not np.isfinite(share):
                    continue
                colour = SERIES[k % MOST]
                axis.barh(at, share, height=0.82, color=colour, alpha=0.45, hatch=HATCHES[k % MOST], edgecolor=colour,
                          linewidth=0.5)  # fmt: skip
                if np.isfinite(row.low[k]):
                    axis.plot([row.low[k], row.high[k]], [at, at], color=INK, linewidth=1.0)
                end = max(share, row.high[k] if np.isfinite(row.high[k]) else share)
                axis.annotate(row.texts[k], (end, at), xytext=(4, 0), textcoords="offset points", va="center",
                              fontsize=7, color=QUIET)  # fmt: skip
        axis.set(xlim=(0, 1.18 * most), xlabel=label)
        axis.set_yticks([y * (each + 0.6) + (each - 1) / 2 for y in range(len(rows))], [r.name for r in rows])
        _plain(axis)
        axis.set_ylim(len(rows) * (each + 0.6) - 0.9, -0.7)
        if each > 1:
            look = [(SERIES[k % MOST], HATCHES[k % MOST]) for k in range(each)]
            handles = [
                Patch(facecolor=c, edgecolor=c, alpha=0.45, hatch=h, label=n) for (c, h), n in zip(look, series)
            ]
            figure.legend(handles=handles, loc="outside upper left", ncols=_columns(figure, series), fontsize=7.5)
        return figure


def stacked(rows: Mapping[str, Sequence[float]], levels: Sequence[str], ends: Mapping[str, str], title: str) -> Figure:
    """Shares of the levels side by side in one bar for each class; ``ends`` is written behind it."""
    with house_style():
        figure = canvas(width_of(list(rows)) + 4.4, 0.75 + 0.24 * len(rows))
        axis = figure.subplots()
        for y, (name, shares) in enumerate(rows.items()):
            start = 0.0
            for k, share in enumerate(shares):
                colour = SERIES[k] if k < MOST else QUIET
                axis.barh(y, share, left=start, height=0.72, color=colour, alpha=0.5, hatch=HATCHES[k % MOST],
                          edgecolor="white", linewidth=0.5)  # fmt: skip
                if share >= 0.08:
                    axis.text(start + share / 2, y, f"{100 * share:.0f} %", ha="center", va="center", fontsize=7,
                              bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8})  # fmt: skip
                start += share
            axis.text(1.01, y, ends[name], va="center", fontsize=7, color=QUIET)
        axis.set(xlim=(0, 1.14), xticks=[0, 0.25, 0.5, 0.75, 1], xlabel=f"share of the cases with a known {title}")
        axis.set_yticks(range(len(rows)), list(rows))
        _plain(axis)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        look = [(SERIES[k] if k < MOST else QUIET, HATCHES[k % MOST]) for k in range(len(levels))]
        handles = [
            Patch(facecolor=c, edgecolor="white", alpha=0.5, hatch=h, label=v) for (c, h), v in zip(look, levels)
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=_columns(figure, levels), fontsize=7.5)
        return figure


def violins(panels: Mapping[str, Sequence[Outline]], *, across: int = 4) -> Figure:
    """A panel for each number with one lying violin for each class: outline, quartiles as a bar, median as a point."""
    names = list(dict.fromkeys(o.name for outlines in panels.values() for o in outlines))
    across = min(across, len(panels))
    down = -(-len(panels) // across)
    with house_style():
        left, wide = 0.25 + width_of([f"{n} (n 0000)" for n in names]), max(1.7, min(3.4, 7.6 / across))
        tall, room = 0.34 * len(names), 0.62
        width, height = left + wide * across + 0.1, down * (tall + room)
        figure = canvas(width, height, layout="none")  # by hand: the layout engine takes longer than the drawing
        places = {
            "left": left / width, "right": 1 - 0.1 / width, "top": 1 - 0.3 / height, "bottom": (room - 0.3) / height,
            "hspace": room / tall, "wspace": 0.12,
        }  # fmt: skip
        grid = figure.subplots(down, across, squeeze=False, sharey=True, gridspec_kw=places)
        for k, axis in enumerate(grid.flat):
            if k >= len(panels):
                axis.set_visible(False)
                continue
            title, outlines = list(panels.items())[k]
            for outline in outlines:
                y, colour = names.index(outline.name), SERIES[names.index(outline.name) % MOST]
                half = 0.42 * outline.width
                axis.fill_between(outline.x, y - half, y + half, color=colour, alpha=0.35, linewidth=0.6)
                if outline.quartiles is not None:
                    low, middle, high = outline.quartiles
                    axis.plot([low, high], [y, y], color=INK, linewidth=2.2, solid_capstyle="butt")
                    axis.plot([middle], [y], "o", color="white", markeredgecolor=INK, markersize=4)
            axis.set_title(title, fontsize=8.5, parse_math=False)
            axis.xaxis.set_major_locator(MaxNLocator(4))
            _plain(axis)
        sizes: dict[str, int | None] = {}
        for outlines in panels.values():
            for o in outlines:
                sizes[o.name] = max(sizes.get(o.name) or 0, o.n or 0) or None
        axis = grid[0, 0]
        axis.set_yticks(range(len(names)), [f"{n} (n {sizes[n]})" if sizes[n] else n for n in names])
        axis.set_ylim(len(names) - 0.4, -0.6)
        return figure


def class_histograms(panels: Mapping[str, pd.DataFrame]) -> Figure:
    """Mean shares of the bins of each picture by class, as steps with the interval as a band.

    Args:
        panels: name of the input to rows of ``class, left, right, share, low, high``.
    """
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    with house_style():
        figure = canvas(0.4 + (3.3 if across > 1 else 5.0) * across, 0.45 + 2.3 * down)
        grid = figure.subplots(down, across, squeeze=False)
        for k, axis in enumerate(grid.flat):
            if k >= len(panels):
                axis.set_visible(False)
                continue
            name, table = list(panels.items())[k]
            for place, (group, own) in enumerate(table.groupby("class", sort=False)):
                edges = np.append(own["left"].to_numpy(float), own["right"].iloc[-1])
                colour = SERIES[place % MOST]
                cases = int(own["cases"].iloc[0])
                axis.stairs(own["share"], edges, color=colour, linewidth=1.2, linestyle=STYLES[place % MOST],
                            label=f"{group} (n {cases})")  # fmt: skip
                if own["low"].notna().all():
                    axis.fill_between(np.repeat(edges, 2)[1:-1], np.repeat(own["low"], 2), np.repeat(own["high"], 2),
                                      color=colour, alpha=0.15, linewidth=0)  # fmt: skip
            axis.set_title(name, parse_math=False)
            axis.set(xlabel="value", ylim=(0, None))
            if k % across == 0:
                axis.set_ylabel("share of the picture")
            _plain(axis, y=True)
        handles, names = grid[0, 0].get_legend_handles_labels()
        if len(names) > 1:
            figure.legend(handles, names, loc="outside upper left", ncols=_columns(figure, names), fontsize=7.5)
        return figure


def share_matrix(names: Sequence[str], shares: NDArray[np.float64], counts: Sequence[int]) -> Figure:
    """Of the cases with the row's class, the share that has the column's; the scale is 0 to 1 whatever they are."""
    n = max(1, len(names))
    cell = 0.42 if n <= 16 else 0.34
    rows = [f"{name} ({count})" for name, count in zip(names, counts)]
    left, top = 0.2 + width_of(rows), 0.2 + width_of(names)
    size = cell * n
    width, height = left + size + 0.75, top + size + 0.1
    with house_style():
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((left / width, 0.1 / height, size / width, size / height))
        cmap = mpl.colormaps["Blues"].with_extremes(bad="#e8ebee")
        shown = axis.imshow(np.ma.masked_invalid(shares), cmap=cmap, vmin=0, vmax=1, aspect="auto")
        for i in range(len(names)):
            for j in range(len(names)):
                v = float(shares[i, j])
                if i == j:
                    axis.add_patch(mpl.patches.Rectangle((j - 0.5, i - 0.5), 1, 1, color="#c9cfd6", linewidth=0))
                    continue
                text = "–" if not np.isfinite(v) else f"{100 * v:.0f}"
                axis.text(j, i, text, ha="center", va="center", fontsize=7.5 if n <= 16 else 6.5,
                          color="white" if np.isfinite(v) and v > 0.6 else INK)  # fmt: skip
        axis.xaxis.tick_top()
        axis.set_xticks(range(len(names)), list(names), rotation=90)
        axis.set_yticks(range(len(names)), rows)
        for label in (*axis.get_xticklabels(), *axis.get_yticklabels()):
            label.set(parse_math=False, color=INK)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        tall = min(size, 2.4)
        bar = figure.add_axes(((left + size + 0.14) / width, (0.1 + size - tall) / height, 0.11 / width, tall / height))
        figure.colorbar(shown, cax=bar, ticks=[0, 0.25, 0.5, 0.75, 1])
        bar.set_yticklabels(["0", "25", "50", "75", "100 %"])
        bar.tick_params(labelsize=7.5, length=2)
        bar.spines[:].set_visible(False)
        return figure


def matrices(panels: Mapping[str, NDArray[np.float64]], names: Sequence[str]) -> Figure:
    """Correlations of the same things side by side, blue against, white none, red alike, on one scale of −1 to 1."""
    n = len(names)
    cell = 0.3 if n <= 12 else 0.24
    left = top = 0.15 + width_of(names)
    size, gap, title = cell * n, 0.2, 0.28
    width, height = left + len(panels) * (size + gap) + 0.6, top + title + size + 0.1
    with house_style():
        figure = canvas(width, height, layout="none")
        cmap = mpl.colormaps[SIGNED].with_extremes(bad="#e8ebee")
        for k, (name, values) in enumerate(panels.items()):
            box = ((left + k * (size + gap)) / width, 0.1 / height, size / width, size / height)
            axis = figure.add_axes(box)
            shown = axis.imshow(np.ma.masked_invalid(values), cmap=cmap, vmin=-1, vmax=1, aspect="auto")
            for i in range(n):
                axis.add_patch(mpl.patches.Rectangle((i - 0.5, i - 0.5), 1, 1, color="#c9cfd6", linewidth=0))
                for j in (j for j in range(n) if j != i and n <= 12 and abs(values[i, j]) >= WRITTEN):
                    v = float(values[i, j])
                    said = f"{v:.1f}".replace("0.", ".").replace("-", "−")
                    axis.text(j, i, said, ha="center", va="center", fontsize=6.5,
                              color="white" if abs(v) > 0.65 else INK)  # fmt: skip
            axis.xaxis.tick_top()
            axis.set_xticks(range(n), list(names), rotation=90, fontsize=7.5)
            axis.set_yticks(range(n), list(names) if k == 0 else [""] * n, fontsize=7.5)
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
            for label in (*axis.get_xticklabels(), *axis.get_yticklabels()):
                label.set(parse_math=False, color=INK)
            figure.text(box[0], 1 - 0.2 / height, name, fontsize=8.5, parse_math=False)
        tall = min(size, 2.0)
        bar = figure.add_axes(((width - 0.5) / width, (0.1 + size - tall) / height, 0.11 / width, tall / height))
        figure.colorbar(shown, cax=bar, ticks=[-1, -0.5, 0, 0.5, 1])
        bar.tick_params(labelsize=7, length=2)
        bar.spines[:].set_visible(False)
        return figure


def value_dots(panels: Mapping[str, Sequence[Dot]]) -> Figure:
    """A panel for each picture, a line for each region: mean value with interval, the spread within as a grey bar."""
    names = list(dict.fromkeys(d.name for dots in panels.values() for d in dots))
    with house_style():
        left = width_of(names)
        figure = canvas(left + 0.3 + 2.7 * min(3, len(panels)), -(-len(panels) // 3) * (0.7 + 0.24 * len(names)))
        grid = figure.subplots(-(-len(panels) // 3), min(3, len(panels)), squeeze=False, sharey=True)
        for k, axis in enumerate(grid.flat):
            if k >= len(panels):
                axis.set_visible(False)
                continue
            title, dots = list(panels.items())[k]
            for dot in dots:
                y = names.index(dot.name)
                if np.isfinite(dot.spread):
                    axis.plot([dot.value - dot.spread, dot.value + dot.spread], [y, y], color=GRID, linewidth=5,
                              solid_capstyle="butt", zorder=1)  # fmt: skip
                if np.isfinite(dot.low):
                    axis.plot([dot.low, dot.high], [y, y], color=INK, linewidth=1.3, zorder=2)
                axis.plot([dot.value], [y], "o", color=SERIES[0], markersize=4, zorder=3)
            axis.set_title(title, parse_math=False)
            axis.set_xlabel("value")
            axis.xaxis.set_major_locator(MaxNLocator(5))
            _plain(axis)
        grid[0, 0].set_yticks(range(len(names)), names)
        grid[0, 0].set_ylim(len(names) - 0.5, -0.5)
        return figure


def size_histograms(panels: Mapping[str, NDArray[np.float64]], unit: str) -> Figure:
    """How large a region is in how many cases, a panel for each; the median as a dotted line."""
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    with house_style():
        figure = canvas(0.3 + 2.5 * across, 0.2 + 1.7 * down)
        grid = figure.subplots(down, across, squeeze=False)
        for k, axis in enumerate(grid.flat):
            if k >= len(panels):
                axis.set_visible(False)
                continue
            name, values = list(panels.items())[k]
            axis.hist(values, bins=min(24, max(5, len(values) // 4)), color=SERIES[0], alpha=0.5, edgecolor="white")
            axis.axvline(float(np.median(values)), color=INK, linewidth=1, linestyle=":")
            axis.set_title(f"{name} (n {len(values)})", parse_math=False)
            axis.set_xlabel(unit)
            axis.xaxis.set_major_locator(MaxNLocator(4))
            axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            if k % across == 0:
                axis.set_ylabel("cases")
            _plain(axis, y=True)
        return figure


def place_maps(panels: Mapping[str, NDArray[np.float64]], letters: Sequence[str] = ()) -> Figure:
    """How often a region covers each place, a panel for each with a bar of its own that begins at 0."""
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    with house_style():
        figure = canvas(2.1 * across, 1.95 * down)
        grid = figure.subplots(down, across, squeeze=False)
        for k, axis in enumerate(grid.flat):
            axis.set(xticks=[], yticks=[])
            if k >= len(panels):
                axis.set_visible(False)
                continue
            name, values = list(panels.items())[k]
            shown = axis.imshow(values, cmap="magma", vmin=0, vmax=float(values.max()) or 1.0, aspect="auto")
            bar = figure.colorbar(shown, ax=axis, shrink=0.85, ticks=[0, float(values.max())])
            bar.ax.set_yticklabels(["0", number(float(values.max()), digits=2)])
            axis.set_title(name, fontsize=8.5, parse_math=False)
            for letter, (x, y) in zip(letters, ((0.06, 0.5), (0.94, 0.5), (0.5, 0.93), (0.5, 0.07))):
                axis.text(x, y, letter, transform=axis.transAxes, color="white", ha="center", va="center", fontsize=8,
                          fontweight="bold")  # fmt: skip
        return figure


def _columns(figure: Figure, names: Sequence[str]) -> int:
    """How many names of a legend fit beside each other."""
    return max(1, min(len(names), int(figure.get_figwidth() / (width_of(names) + 0.6))))


def _plain(axis: Axes, *, y: bool = False) -> None:
    axis.set_axisbelow(True)
    axis.grid(axis="y" if y else "x", color=GRID, linewidth=0.6)
    for label in (*axis.get_yticklabels(), *axis.get_xticklabels()):
        label.set_parse_math(False)
    if not y:
        axis.tick_params(axis="y", length=0)
