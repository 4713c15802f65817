"""A dot for every case: how much a zone, or a column, says in it, coloured by what is there to be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import rankdata

from pellucid.report.labels import width_of
from pellucid.report.style import BAD, GRID, INK, QUIET, canvas, house_style

Rows = Mapping[str, tuple[Sequence[float], Sequence[float]]]
COLOURS = "cividis"
ROW, BINS = 0.42, 60


def beeswarm(rows: Rows, *, axis_name: str, colour_name: str, means: Mapping[str, float] | None = None) -> Figure:
    """One row for each name, one dot for each case; dots that would cover each other stand above one another.

    Args:
        rows: name to ``(x, colour)`` of the cases; a colour is shown by its rank in the row, low to high.
        axis_name: what x is.
        colour_name: what the colour is.
        means: name to a number that is written at the right, such as the mean of ``|x|``.
    """
    names = list(rows)
    left, right = 0.25 + width_of(names, size=8.4), 1.25 + (0.75 if means else 0.0)
    wide, tall = 4.6, max(1.5, ROW * len(names))
    width, height = left + wide + right, tall + 0.75
    every = np.concatenate([np.asarray(x, float) for x, _ in rows.values()] or [np.zeros(0)])
    every = every[np.isfinite(every)]
    far = float(np.abs(every).max()) if every.size and np.abs(every).max() > 0 else 1.0
    cmap = mpl.colormaps[COLOURS]
    with house_style():
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((left / width, 0.5 / height, wide / width, tall / height))
        axis.axvline(0, color=QUIET, linewidth=0.8)
        for y, (x, colour) in enumerate(rows.values()):
            at, tone = np.asarray(x, float), np.asarray(colour, float)
            known = np.isfinite(at)
            shade = [BAD if not np.isfinite(r) else cmap(r) for r in _ranks(tone)[known]]
            axis.scatter(at[known], y + _offsets(at[known], far), s=9, c=shade or None, linewidths=0)
        axis.set(ylim=(len(names) - 0.5, -0.5), xlim=(-1.06 * far if (every < 0).any() else -0.04 * far, 1.06 * far))
        axis.set_yticks(range(len(names)), names)
        for label in axis.get_yticklabels():
            label.set(parse_math=False, color=INK)
        axis.tick_params(axis="y", length=0)
        for edge in range(1, len(names)):
            axis.axhline(edge - 0.5, color=GRID, linewidth=0.5)
        axis.set_xlabel(axis_name, parse_math=False)
        axis.locator_params(axis="x", nbins=6)
        if means:
            beside = axis.get_yaxis_transform()
            axis.text(1.02, -0.55, "mean |x|", transform=beside, fontsize=7.5, color=QUIET, va="bottom")
            for y, name in enumerate(names):
                text = f"{means[name]:.3g}" if np.isfinite(means.get(name, np.nan)) else "–"
                axis.text(1.02, y, text, transform=beside, fontsize=8, va="center")
        high = min(tall, 1.5)
        bar = figure.add_axes(((width - 0.95) / width, (0.5 + (tall - high) / 2) / height, 0.1 / width, high / height))
        figure.colorbar(mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), cmap), cax=bar, ticks=[0, 1])
        bar.set_yticklabels(["low", "high"])
        bar.set_ylabel(colour_name, fontsize=7.5, parse_math=False)
        bar.tick_params(labelsize=7.5, length=2)
        bar.spines[:].set_visible(False)
        return figure


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0 to 1, ties alike; one half where all are alike, NaN where unknown."""
    found = np.full(len(values), np.nan)
    known = np.isfinite(values)
    if known.any():
        ranks = rankdata(values[known])
        spread = ranks.max() - ranks.min()
        found[known] = (ranks - ranks.min()) / spread if spread > 0 else 0.5
    return found


def _offsets(x: NDArray[np.float64], far: float) -> NDArray[np.float64]:
    """How far above or below its row a dot stands: by its place among those that are as large."""
    bins = np.floor((x + far) / (2 * far) * BINS).astype(int)
    found = np.zeros(len(x))
    for b in np.unique(bins):
        inside = np.flatnonzero(bins == b)
        inside = inside[np.argsort(x[inside], kind="stable")]
        place = np.arange(len(inside))
        step = np.where(place % 2 == 1, -(place + 1) // 2, place // 2)  # 0, −1, 1, −2, 2 …
        found[inside] = step * min(0.09, 0.4 / max(1, len(inside) / 2))
    return found
