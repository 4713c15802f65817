"""Charts that are no pictures: signed bars, learning curve, true against predicted, shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.errors import InputError
from pellucid.report.layout import say_missing
from pellucid.report.shade import unit_of, warnings_of
from pellucid.report.style import AGAINST, FOR, GRID, INK, NEUTRAL, QUIET, SERIES, canvas, house_style

MODEL = "model: "  # begins the name of a bar that was asked of the model, not of a map


@dataclass(frozen=True)
class Bar:
    """One number with its interval (None where there is none) and the name beside it."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    apart: bool = False


def feature_names(case: Case | None, name: str, n: int, given: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """Names of a table's columns: those given, else the case's ``meta["features"]``, else their numbers."""
    meta = {} if case is None else case.meta
    known = (given or {}).get(name) or dict(meta.get("features") or {}).get(name) or []
    return [str(f) for f in known] if len(known) == n else [f"{name}[{i}]" for i in range(n)]


def table_bars(
    maps: Sequence[Attribution],
    case: Case | None,
    *,
    name: str | None = None,
    features: Mapping[str, Sequence[str]] | None = None,
    units: Sequence[str] = (),
    columns: int = 5,
) -> Figure:
    """Tabular attributions as signed horizontal bars, one panel per map, with the case's values beside the names.

    Every panel has its own axis, because methods differ in unit; red bars speak for, blue and hatched ones against,
    grey ones have no sign.

    Args:
        maps: attributions of one case that have the table.
        case: whose values stand beside the names.
        name: of the table; the first one by default.
        features: table to column names.
        units: of each map's numbers.
        columns: panels in a row.
    """
    if not maps or not any(m.tables for m in maps):
        raise InputError("no map of a table to draw; give attributions of a method that explains tables")
    table = name if name is not None else next(m.tables[0] for m in maps if m.tables)
    maps = [m for m in maps if table in m.maps]
    if case is not None and table not in case.inputs:
        raise InputError(f"case {case.id}: the map is of table {table!r}, the case has {', '.join(case.inputs)}")
    n = len(maps[0].maps[table])
    labels = feature_names(case, table, n, features)
    lacks = case is not None and table in case.missing
    if case is not None and not lacks:
        labels = [f"{f} = {_short(float(v))}" for f, v in zip(labels, case.inputs[table])]
    across = min(columns, len(maps))
    down = -(-len(maps) // across)
    with house_style():
        left, each, tall, room = 0.25 + 0.068 * max(map(len, labels)), 1.75, 0.12 + 0.17 * n, 0.72
        width, height = left + each * across, down * (tall + room)
        figure = canvas(width, height, layout="none")  # by hand: the layout engine takes longer than the drawing
        grid = figure.subplots(
            down,
            across,
            sharey=True,
            squeeze=False,
            gridspec_kw={
                "left": left / width,
                "right": 1 - 0.08 / width,
                "top": 1 - 0.25 / height,
                "bottom": (room - 0.25) / height,
                "hspace": room / tall,
                "wspace": 0.12,
            },
        )
        for k, axis in enumerate(grid.flat):
            if k >= len(maps):
                axis.set_visible(False)
                continue
            unit = units[k] if units else unit_of(maps[k])
            _bars(axis, maps[k], table, unit)
            if lacks:
                say_missing(axis)
        for axis in grid[:, 0]:
            axis.set_yticks(np.arange(n), labels)
        grid[0, 0].invert_yaxis()
        return figure


def learning_curve(history: pd.DataFrame) -> Figure:
    """Losses by epoch, and the validation metric beside them; the epoch that was kept is marked."""
    with house_style():
        has_metric = "val_metric" in history and history["val_metric"].notna().any()
        figure = canvas(7.0 if has_metric else 3.8, 2.3)
        axes = figure.subplots(1, 2 if has_metric else 1, squeeze=False)[0]
        losses = [c for c in ("train_loss", "val_loss") if c in history and history[c].notna().any()]
        for k, column in enumerate(losses):
            axes[0].plot(
                history["epoch"],
                history[column],
                color=SERIES[k],
                linestyle=("-", "--")[k],
                label=column.removesuffix("_loss").replace("val", "validation").replace("train", "training"),
            )
        axes[0].set(xlabel="epoch", title="Loss")
        axes[0].legend()
        if has_metric:
            axes[1].plot(history["epoch"], history["val_metric"], color=SERIES[2])
            metric = str(history["metric"].iloc[0]) if "metric" in history else "metric"
            axes[1].set(xlabel="epoch", title=f"Validation {metric}")
        if "val_loss" in history and history["val_loss"].notna().any():
            best = int(history["epoch"].iloc[int(np.nanargmin(history["val_loss"].to_numpy(float)))])
            for axis in axes:
                axis.axvline(best, color=QUIET, linewidth=0.8, linestyle=":")
            axes[0].annotate(
                "kept",
                (best, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-2, -1),
                textcoords="offset points",
                fontsize=7.5,
                color=QUIET,
                va="top",
                ha="right",
            )
        for axis in axes:
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            _grid(axis)
            _bands(axis, training_phases(history), named=axis is axes[0])
        return figure


def training_phases(history: pd.DataFrame) -> list[tuple[int, list[str]]]:
    """First epoch of each phase of a gradual unfreezing, with the parts that are trained from then on."""
    found: list[tuple[int, list[str]]] = []
    if "trained" not in history:
        return found
    before: list[str] = []
    for epoch, trained in zip(history["epoch"], history["trained"]):
        now = str(trained).split(", ")
        if now != before:
            found.append((int(epoch), [name for name in now if name not in before]))
            before = now
    return found


def _bands(axis: Axes, phases: Sequence[tuple[int, Sequence[str]]], *, named: bool) -> None:
    """Every other phase shaded, and what it adds written at its foot, where there is room."""
    if not phases:
        return
    (low, high), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    starts = [low, *(epoch - 0.5 for epoch, _ in phases[1:]), high]
    named = named and len(phases) <= 5
    for number, (_, names) in enumerate(phases):
        if number % 2:
            axis.axvspan(starts[number], starts[number + 1], color=QUIET, alpha=0.12, linewidth=0, zorder=0)
        if named:
            said = names[0] if len(names) == 1 else f"{len(names)} parts"
            axis.annotate(
                ("+ " if number else "") + said, (starts[number], 0), xycoords=("data", "axes fraction"),
                xytext=(2, 2), textcoords="offset points", fontsize=6.5, color=QUIET, va="bottom",
            )  # fmt: skip
    axis.set(xlim=(low, high), ylim=(bottom - 0.12 * (top - bottom) * named, top))


def score_scatter(truth: Sequence[float], predicted: Sequence[float], *, name: str = "score") -> Figure:
    """Predicted against true scores, with the line on which they are equal."""
    with house_style():
        figure = canvas(3.4, 3.2)
        axis = figure.subplots()
        both = np.concatenate([np.asarray(truth, float), np.asarray(predicted, float)])
        low, high = float(both.min()), float(both.max())
        pad = 0.05 * (high - low or 1.0)
        axis.plot([low - pad, high + pad], [low - pad, high + pad], color=QUIET, linewidth=0.8, linestyle=":")
        axis.scatter(truth, predicted, s=14, color=SERIES[0], alpha=0.75, linewidths=0)
        axis.set(
            xlabel=f"true {name}",
            ylabel=f"predicted {name}",
            xlim=(low - pad, high + pad),
            ylim=(low - pad, high + pad),
            aspect="equal",
        )
        _grid(axis)
        return figure


def shares(panels: Mapping[str, Sequence[Bar]]) -> Figure:
    """Shares by modality: one panel per input, one line per method with its interval; model-side measures apart."""
    with house_style():
        rows = len(next(iter(panels.values())))
        figure = canvas(1.9 + 2.3 * len(panels), 0.75 + 0.21 * rows)
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (name, bars) in zip(axes, panels.items()):
            for y, bar in enumerate(bars):
                colour = INK if bar.apart else SERIES[0]
                if not np.isfinite(bar.value):
                    axis.text(0.01, y, "–", va="center", color=QUIET)
                    continue
                axis.barh(
                    y,
                    bar.value,
                    height=0.62,
                    color=colour,
                    alpha=0.35 if not bar.apart else 0.25,
                    hatch="//" if bar.name.startswith(MODEL) else None,
                    edgecolor=colour,
                    linewidth=0.6,
                )
                if bar.low is not None and bar.high is not None:
                    axis.plot([bar.low, bar.high], [y, y], color=INK, linewidth=1.1)
            top = max([1.0, *(b.high if b.high is not None else b.value for b in bars if np.isfinite(b.value))])
            axis.set(
                xlim=(min([0.0, *(b.value for b in bars if np.isfinite(b.value))]), top),
                xlabel="share of the whole",
            )
            axis.set_title(name, parse_math=False)
            axis.set_yticks(range(rows), [b.name for b in bars])
            _grid(axis, x=True, y=False)
        axes[0].invert_yaxis()
        return figure


def _bars(axis: Axes, a: Attribution, table: str, unit: str) -> None:
    values = a.maps[table].numpy()
    finite = np.where(np.isfinite(values), values, 0.0)
    for y, (value, true) in enumerate(zip(finite, values)):
        colour = NEUTRAL if not a.signed else FOR if value >= 0 else AGAINST
        axis.barh(
            y,
            value,
            height=0.7,
            color=colour,
            hatch="////" if a.signed and value < 0 else None,
            edgecolor="white",
            linewidth=0.3,
        )
        if not np.isfinite(true):
            axis.text(0, y, " NaN", va="center", fontsize=7)
    axis.axvline(0, color=QUIET, linewidth=0.8)
    limit = float(np.abs(finite).max()) or 1.0
    axis.set_xlim(-1.08 * limit if a.signed or bool((finite < 0).any()) else 0.0, 1.08 * limit)
    axis.xaxis.set_major_locator(MaxNLocator(3))
    axis.tick_params(axis="x", labelsize=7)
    short = [w.split(":")[0] for w in warnings_of(a.flags)]
    axis.set_xlabel(unit + (", unsigned" if not a.signed else ""), fontsize=7.5)
    if short:
        axis.text(
            1.0,
            0.0,
            "! " + "\n! ".join(short),
            transform=axis.transAxes,
            ha="right",
            va="bottom",
            fontsize=7,
            color="#8a1c0f",
            fontweight="bold",
            parse_math=False,
        )
    axis.set_title(a.method, fontsize=8.5, parse_math=False)
    axis.tick_params(axis="y", length=0)


def _grid(axis: Axes, *, x: bool = True, y: bool = True) -> None:
    axis.set_axisbelow(True)
    if x:
        axis.grid(axis="x", color=GRID, linewidth=0.6)
    if y:
        axis.grid(axis="y", color=GRID, linewidth=0.6)


def _short(value: float) -> str:
    return f"{value:.3g}"
