"""The figure of a search: its trials in order, how much each setting mattered, and the values by setting."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator

from pellucid.report.labels import width_of
from pellucid.report.numbers import number
from pellucid.report.style import FOR, GRID, INK, NEUTRAL, QUIET, SERIES, canvas, house_style

MOST_SLICES = 4
MOST_CELLS = 12  # along a side of the grid


@dataclass(frozen=True)
class Searched:
    """What the figure shows, out of the run's tables.

    Attributes:
        trials: of the table ``search``.
        importance: of the table ``search_importance``.
        grid: whether every combination of lists was to be tried.
        logs: settings whose range is logarithmic.
    """

    trials: pd.DataFrame
    importance: pd.DataFrame
    grid: bool
    logs: frozenset[str] = frozenset()

    @property
    def params(self) -> list[dict[str, Any]]:
        """The settings of each trial."""
        return [json.loads(p) for p in self.trials["params"]]

    @property
    def varied(self) -> list[str]:
        """The settings that were not the same in all trials, those that mattered most first."""
        names = list(dict.fromkeys(k for p in self.params for k in p))
        varied = [n for n in names if len({json.dumps(p.get(n)) for p in self.params}) > 1]
        rank = {str(r["parameter"]): float(r["importance"]) for r in self.importance.to_dict("records")}
        return sorted(varied, key=lambda n: -rank.get(n, 0.0))

    @property
    def least(self) -> bool:
        """Whether a low value is good."""
        return str(self.trials["direction"].iloc[0]) == "minimize"

    @property
    def objective(self) -> str:
        """What was measured on the validation cases."""
        return str(self.trials["objective"].iloc[0])

    def values_of(self, name: str) -> list[Any]:
        """The values of a setting, in order."""
        known = {json.dumps(p[name]): p[name] for p in self.params if name in p}
        return sorted(known.values(), key=lambda v: (not _is_number(v), v if _is_number(v) else 0.0, json.dumps(v)))


def search_chart(s: Searched) -> Figure:
    """History and importance above; below, the grid of two settings, or the values by each setting."""
    with house_style():
        names = s.varied
        square = s.grid and len(names) == 2 and all(len(s.values_of(n)) <= MOST_CELLS for n in names)
        lower = 2.6 if names else 0.0
        figure = canvas(7.2, 2.5 + lower)
        rows: Any = figure.subfigures(2, 1, height_ratios=[2.5, lower]) if names else [figure]
        widths = [1.5, 1] if len(s.importance) else [1]
        above = rows[0].subplots(1, len(widths), squeeze=False, gridspec_kw={"width_ratios": widths})[0]
        _history(above[0], s)
        if len(s.importance):
            _importance(above[1], s)
        if square:
            _grid(rows[1].subplots(), s, *sorted(names, key=lambda n: -len(s.values_of(n))))
        elif names:
            shown = names[:MOST_SLICES]
            for axis, name in zip(rows[1].subplots(1, len(shown), sharey=True, squeeze=False)[0], shown):
                _slice(axis, s, name)
            rows[1].axes[0].set_ylabel(s.objective)
        return figure


def _history(axis: Axes, s: Searched) -> None:
    done = s.trials[s.trials["state"] == "complete"]
    best = done["value"].cummin() if s.least else done["value"].cummax()
    axis.step(done["trial"], best, where="post", color=QUIET, linewidth=0.9, label="best so far")
    axis.scatter(done["trial"], done["value"], s=22, color=SERIES[0], linewidths=0, zorder=3, label="complete")
    chosen = done[done["best"].astype(bool)]
    axis.scatter(chosen["trial"], chosen["value"], s=80, facecolors="none", edgecolors=INK, linewidths=1.2, zorder=4)
    for _, row in chosen.iterrows():
        axis.annotate(
            f"best: {number(row['value'])}", (row["trial"], row["value"]), xytext=(0, -7 if s.least else 7),
            textcoords="offset points", ha="center", va="top" if s.least else "bottom", fontsize=7.5, color=INK,
        )  # fmt: skip
    for state, mark in (("pruned", "|"), ("failed", "x"), ("stopped", "1")):
        rows = s.trials[s.trials["state"] == state]
        if len(rows):  # they have no value: they stand on the axis
            axis.plot(
                rows["trial"], [0.03] * len(rows), mark, transform=axis.get_xaxis_transform(), color=SERIES[1],
                markersize=6, label=state, clip_on=False,
            )  # fmt: skip
    axis.set(xlabel="trial", ylabel=s.objective, title="Trials", xlim=(0.5, len(s.trials) + 0.5))
    axis.margins(y=0.18)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(axis="y", color=GRID, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), fontsize=7, handlelength=1.2, borderaxespad=0.2)


def _importance(axis: Axes, s: Searched) -> None:
    rows = s.importance.sort_values("importance", ascending=True)
    few = any("trials only" in str(n) for n in rows["note"])
    axis.barh(rows["parameter"], rows["importance"], height=0.6, color=NEUTRAL if few else SERIES[0])
    for y, value in enumerate(rows["importance"]):
        axis.text(value + 0.02, y, f"{value:.2f}", va="center", fontsize=7.5, color=INK)
    axis.set(xlim=(0, 1.12), xlabel="share of the differences", title="Importance (fANOVA)")
    if few:
        axis.set_xlabel(f"share of the differences\n(of {int(rows['n'].max())} trials only: a hint at most)")
    axis.tick_params(axis="y", length=0)


def _grid(axis: Axes, s: Searched, across: str, down: str) -> None:
    columns, lines = s.values_of(across), s.values_of(down)
    values = np.full((len(lines), len(columns)), np.nan)
    states = np.full(values.shape, "", dtype=object)
    chosen: tuple[int, int] | None = None
    for p, row in zip(s.params, s.trials.to_dict("records")):
        place = lines.index(p[down]), columns.index(p[across])
        values[place], states[place] = row["value"], row["state"]
        chosen = place if row["best"] else chosen
    # Bright is good, whichever way the objective goes.
    shown = mpl.colormaps["viridis_r" if s.least else "viridis"]
    image = axis.imshow(values, cmap=shown, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = shown(image.norm(value))
            dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
            axis.text(j, i, number(value), ha="center", va="center", fontsize=8, color="white" if dark else INK)
        else:
            axis.text(j, i, str(states[i, j] or "not tried"), ha="center", va="center", fontsize=7, color=QUIET)
    if chosen is not None:
        corner = chosen[1] - 0.5, chosen[0] - 0.5
        axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=FOR, linewidth=2.5, clip_on=False))
    axis.set_xticks(range(len(columns)), [_text(v) for v in columns])
    axis.set_yticks(range(len(lines)), [_text(v) for v in lines])
    axis.set(xlabel=across, ylabel=down, title=f"{s.objective}, {'lower' if s.least else 'higher'} is better")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _slice(axis: Axes, s: Searched, name: str) -> None:
    rows = zip(s.params, s.trials.to_dict("records"))
    done = [(p[name], r) for p, r in rows if r["state"] == "complete" and name in p]
    known = s.values_of(name)
    numeric = all(_is_number(v) for v in known) and len(known) > 5
    x = [v if numeric else known.index(v) for v, _ in done]
    y = [r["value"] for _, r in done]
    axis.scatter(x, y, s=18, color=SERIES[0], alpha=0.8, linewidths=0)
    best = [(a, r["value"]) for a, (_, r) in zip(x, done) if r["best"]]
    axis.scatter([a for a, _ in best], [b for _, b in best], s=70, facecolors="none", edgecolors=INK, linewidths=1.2)
    if numeric:
        if name in s.logs:
            axis.set_xscale("log")
            axis.xaxis.set_minor_locator(NullLocator())
        else:
            axis.xaxis.set_major_locator(MaxNLocator(4))
    else:
        labels = [_text(v) for v in known]
        crowded = sum(map(width_of, ([v] for v in labels))) > 6.0 / MOST_SLICES
        axis.set_xticks(range(len(known)), labels, rotation=40 if crowded else 0, ha="right" if crowded else "center")
        axis.set_xlim(-0.5, len(known) - 0.5)
    axis.set_xlabel(name)
    axis.grid(axis="y", color=GRID, linewidth=0.6)
    axis.set_axisbelow(True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value)


