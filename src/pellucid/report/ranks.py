"""Ranks of the methods: the critical-difference diagram, and places with their range over choices of measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pellucid.report.labels import width_of
from pellucid.report.style import GRID, INK, QUIET, SERIES, canvas, house_style

ROW = 0.185  # inches of a line of text
FAINT = "#9aa3ad"


@dataclass(frozen=True)
class Rank:
    """A method's mean rank (1 the best), the groups of methods not told apart that it is in, and if it is a control."""

    name: str
    rank: float
    groups: tuple[str, ...] = ()
    control: bool = False


@dataclass(frozen=True)
class Place:
    """A method's place, its range over choices of measures, and how often it came first (None: not known)."""

    name: str
    place: float
    low: float | None = None
    high: float | None = None
    first: float | None = None
    control: bool = False


def critical_difference(ranks: Sequence[Rank], *, cd: float | None = None) -> Figure:
    """Mean ranks on an axis, best at the left, methods named at both sides; a bar joins those not told apart.

    Source: demsar2006statistical.

    Args:
        ranks: of the methods; those that are NaN are left out.
        cd: critical difference, drawn as a ruler; None where there is none.
    """
    cd = cd if cd is not None and math.isfinite(cd) else None
    known = sorted((r for r in ranks if math.isfinite(r.rank)), key=lambda r: r.rank)
    bars = _bars(known)
    left = (len(known) + 1) // 2
    side, middle = 0.25 + width_of([r.name for r in known]) + width_of(["  00.00"]), 3.5
    deep = 0.14 + 0.09 * (1 + max((b[2] for b in bars), default=-1))  # inches of the bars below the axis
    above, below = 0.62 if cd is not None else 0.36, deep + ROW * max(1, left) + 0.08
    width, height = 2 * side + middle, above + below
    with house_style():
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set(xlim=(0, width), ylim=(-below, above))
        axis.axis("off")
        low = math.floor(known[0].rank) if known else 1
        high = max(low + 1, math.ceil(known[-1].rank) if known else 2, math.ceil(low + (cd or 0)))
        at = lambda rank: side + middle * (rank - low) / (high - low)  # noqa: E731
        axis.plot([at(low), at(high)], [0, 0], color=INK, linewidth=1)
        step = max(1, math.ceil((high - low) / 14))
        for tick in range(low, high + 1):
            major = (tick - low) % step == 0
            axis.plot([at(tick)] * 2, [0, 0.08 if major else 0.04], color=INK, linewidth=0.8)
            if major:
                axis.text(at(tick), 0.11, str(tick), ha="center", va="bottom", fontsize=8, color=QUIET)
        axis.text(at(low) - 0.1, 0.11, "best", ha="right", va="bottom", fontsize=8, color=QUIET)
        axis.text(at(high) + 0.1, 0.11, "worst", ha="left", va="bottom", fontsize=8, color=QUIET)
        if cd is not None:
            axis.plot([at(low), at(low + cd)], [0.42] * 2, color=INK, linewidth=1.2, solid_capstyle="butt")
            for x in (low, low + cd):
                axis.plot([at(x)] * 2, [0.38, 0.46], color=INK, linewidth=1.2)
            axis.text(at(low + cd) + 0.07, 0.42, f"critical difference {cd:.2f}", va="center", fontsize=8)
        for k, r in enumerate(known):
            on_left = k < left
            y = -deep - ROW * ((k if on_left else len(known) - 1 - k) + 0.5)
            edge, hand = (side - 0.06, "right") if on_left else (side + middle + 0.06, "left")
            colour = FAINT if r.control else INK
            axis.plot([at(r.rank), at(r.rank), edge], [0, y, y], color=colour, linewidth=0.8)
            axis.plot(at(r.rank), 0, "o", color=colour, markersize=3.2)
            name = f"{r.name}  {r.rank:.2f}" if on_left else f"{r.rank:.2f}  {r.name}"
            away = -0.05 if on_left else 0.05
            axis.text(edge + away, y, name, ha=hand, va="center", fontsize=8, color=QUIET if r.control else INK,
                      fontstyle="italic" if r.control else "normal", parse_math=False)  # fmt: skip
        for a, b, line in bars:
            y = -0.12 - 0.09 * line
            axis.plot([at(a) - 0.04, at(b) + 0.04], [y, y], color=SERIES[0], linewidth=3.2, solid_capstyle="butt")
        if not known:
            axis.text(width / 2, -below / 2, "no ranks", ha="center", va="center", color=QUIET)
        return figure


def _bars(ranks: Sequence[Rank]) -> list[tuple[float, float, int]]:
    """``(from, to, line)`` of each group of two or more; groups that would touch go on different lines."""
    spans = []
    for name in dict.fromkeys(g for r in ranks for g in r.groups):
        inside = [r.rank for r in ranks if name in r.groups]
        if len(inside) > 1:
            spans.append((min(inside), max(inside)))
    lines: list[float] = []
    found = []
    for a, b in sorted(spans):
        line = next((i for i, end in enumerate(lines) if end < a - 0.05), len(lines))
        lines[line : line + 1] = [b]
        found.append((a, b, line))
    return found


def place_ranges(places: Sequence[Place]) -> Figure:
    """A dot at each method's place, a bar over its places in other choices of measures, controls grey."""
    with house_style():
        rows = max(1, len(places))
        margin = 0.2 + width_of([p.name for p in places])
        shares = any(p.first is not None for p in places)
        width, tall = margin + 3.3 + (0.75 if shares else 0.1), 0.2 * rows
        height = tall + 0.62
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((margin / width, 0.42 / height, 3.3 / width, tall / height))
        for y, p in enumerate(places):
            if not math.isfinite(p.place):
                axis.text(1, y, "–", va="center", color=QUIET)
                continue
            colour = FAINT if p.control else SERIES[0]
            if p.low is not None and p.high is not None:
                axis.plot([p.low, p.high], [y, y], color=colour, alpha=0.4, linewidth=5, solid_capstyle="round")
            axis.plot(p.place, y, "o", color=colour, markersize=5)
            if p.first is not None:
                axis.text(1.02, y, f"{100 * p.first:.0f} %", va="center", fontsize=8, color=QUIET,
                          transform=axis.get_yaxis_transform())  # fmt: skip
        if shares:
            axis.text(1.02, -0.75, "first in", fontsize=7.5, color=QUIET, va="bottom",
                      transform=axis.get_yaxis_transform())  # fmt: skip
        top = np.nanmax([1.0, *(v for p in places for v in (p.place, p.high) if v is not None)])
        axis.set(xlim=(0.4, max(2.0, float(top)) + 0.6), ylim=(rows - 0.4, -0.6), xlabel="place (1 the best)")
        axis.set_yticks(range(len(places)), [p.name for p in places])
        for label, p in zip(axis.get_yticklabels(), places):
            label.set(parse_math=False, color=QUIET if p.control else INK)
        axis.tick_params(axis="y", length=0)
        last = math.ceil(max(2.0, float(top)))
        ticks = (int(t) for t in MaxNLocator(integer=True, nbins=9).tick_values(1, last))
        axis.set_xticks(sorted({1, *(t for t in ticks if 1 < t <= last)}))
        axis.set_axisbelow(True)
        axis.grid(axis="both", color=GRID, linewidth=0.6)
        return figure
