"""Means with intervals by level of a stratum: small and large lesions, sure and unsure cases, sites."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from pellucid.report.charts import Bar
from pellucid.report.labels import width_of
from pellucid.report.style import GRID, INK, MARKERS, QUIET, SERIES, canvas, house_style


def level_dots(
    panels: Mapping[str, Mapping[str, Sequence[Bar]]], *, controls: Sequence[str] = (),
    lines: Mapping[str, float] | None = None, line_name: str = "",
) -> Figure:  # fmt: skip
    """One panel for each measure, one row for each method, and in it a mark with its interval for each level.

    Args:
        panels: measure to level to bars, which are the same methods in the same order everywhere.
        controls: methods that are written in grey.
        lines: measure to where a dotted line is drawn that the marks are to be compared with.
        line_name: what it is.
    """
    with house_style():
        first = next(iter(panels.values()), {})
        names = [b.name for b in next(iter(first.values()), [])]
        levels = list(first)
        row = max(0.2, 0.075 * len(levels) + 0.07)
        margin = 0.2 + width_of(names)
        each, gap, right = 2.7, 0.25, 0.4 + width_of([*levels, line_name], size=7.5)
        tall = row * max(1, len(names))
        width, height = margin + (each + gap) * max(1, len(panels)) + right, tall + 0.62
        figure = canvas(width, height, layout="none")
        handles: dict[str, Any] = {}
        for k, (title, by_level) in enumerate(panels.items()):
            left = margin + k * (each + gap)
            axis = figure.add_axes((left / width, 0.32 / height, each / width, tall / height))
            for j, (level, bars) in enumerate(by_level.items()):
                colour, mark = SERIES[j % len(SERIES)], MARKERS[j % len(MARKERS)]
                shift = (j - (len(levels) - 1) / 2) * min(0.26, 0.7 / max(1, len(levels)))
                for y, bar in enumerate(bars):
                    if not math.isfinite(bar.value):
                        continue
                    if bar.low is not None and bar.high is not None:
                        axis.plot([bar.low, bar.high], [y + shift] * 2, color=colour, linewidth=1.2, alpha=0.6)
                    (handles[level],) = axis.plot(bar.value, y + shift, mark, color=colour, markersize=4.2,
                                                  linestyle="none")  # fmt: skip
            if lines and title in lines:
                handles[line_name] = axis.axvline(lines[title], color=INK, linewidth=1, linestyle=(0, (1, 1.5)))
            axis.set(ylim=(max(1, len(names)) - 0.5, -0.5))
            axis.set_yticks(range(len(names)), names if k == 0 else [""] * len(names))
            for label, name in zip(axis.get_yticklabels(), names):
                label.set(parse_math=False, color=QUIET if name in controls else INK)
            for edge in range(1, len(names)):
                axis.axhline(edge - 0.5, color=GRID, linewidth=0.5)
            axis.set_title(title, parse_math=False)
            axis.tick_params(axis="y", length=0)
            axis.locator_params(axis="x", nbins=5)
            axis.set_axisbelow(True)
            axis.grid(axis="x", color=GRID, linewidth=0.6)
        if handles:
            shown = [v for v in (*levels, line_name) if v in handles]
            legend = figure.legend([handles[v] for v in shown], shown, loc="upper right", fontsize=7.5,
                                   bbox_to_anchor=(1 - 0.05 / width, 1 - 0.25 / height), borderaxespad=0)  # fmt: skip
            for text in legend.get_texts():
                text.set_parse_math(False)
        return figure
