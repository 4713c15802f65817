"""What a map costs against how good it is, with the methods that no other beats in both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from pellucid.report.labels import place_labels
from pellucid.report.style import GRID, INK, QUIET, SERIES, canvas, house_style

NONE = 0.5  # where a map that takes no pass stands on the logarithmic axis


@dataclass(frozen=True)
class Point:
    """A method's cost and value; ``dominated`` if another is at least as good for no more, and better in one."""

    name: str
    cost: float
    value: float
    low: float | None = None
    high: float | None = None
    dominated: bool = False
    control: bool = False


def front(points: Sequence[Point], *, higher: bool) -> list[Point]:
    """The points that no other beats, by cost: those not dominated, controls left out."""
    return sorted(
        (p for p in points if not p.dominated and not p.control and math.isfinite(p.value) and math.isfinite(p.cost)),
        key=lambda p: (p.cost, -p.value if higher else p.value),
    )


def dominated(name: str, known: Mapping[str, tuple[float, float]], *, higher: bool) -> bool:
    """Whether another method costs no more and is no worse, and is better in one of the two.

    Args:
        name: of the method.
        known: method to cost and value.
        higher: whether a larger value is better.
    """
    cost, value = known[name]
    sign = 1 if higher else -1
    return any(
        c <= cost and sign * v >= sign * value and (c < cost or v != value) for k, (c, v) in known.items() if k != name
    )


def cost_scatter(points: Sequence[Point], *, metric: str, direction: str) -> Figure:
    """Passes on a logarithmic axis against a measure; the front joined, dominated methods hollow, controls grey.

    Args:
        points: the methods; those without a value are left out.
        metric: name of the measure.
        direction: ``"higher"`` or ``"lower"`` is better.
    """
    known = [p for p in points if math.isfinite(p.value) and math.isfinite(p.cost)]
    with house_style():
        width, height = 7.2 if len(known) <= 15 else 9.0, min(6.5, 3.4 + 0.07 * max(0, len(known) - 10))
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((0.75 / width, 0.5 / height, (width - 0.9) / width, (height - 0.62) / height))
        axis.set_xscale("log")
        best = front(known, higher=direction != "lower")
        xs, ys = [max(p.cost, NONE) for p in best], [p.value for p in best]
        axis.step(xs, ys, where="post", color=SERIES[0], linewidth=1.4, alpha=0.55, zorder=1)
        for p in known:
            x, colour = max(p.cost, NONE), _colour(p)
            if p.low is not None and p.high is not None:
                axis.plot([x, x], [p.low, p.high], color=colour, linewidth=0.8, alpha=0.45, zorder=1)
            axis.plot(x, p.value, "s" if p.control else "o", color=colour, markersize=5.5, zorder=3,
                      markerfacecolor="white" if p.dominated or p.control else colour)  # fmt: skip
        low, high = min([1.0, *(max(p.cost, NONE) for p in known)]), max([1.0, *(p.cost for p in known)])
        axis.set_xlim(low / 1.6, max(high, 2 * low) * 1.9)
        ends = [v for p in known for v in (p.value, p.low, p.high) if v is not None and math.isfinite(v)] or [0.0, 1.0]
        pad = 0.09 * ((max(ends) - min(ends)) or 1.0)
        limits = (min(ends) - pad, max(ends) + pad)
        axis.set_ylim(*(limits if direction != "lower" else limits[::-1]))  # better is always up
        least, most = math.ceil(math.log10(max(low, 1.0))), math.floor(math.log10(max(high, 1.0)))
        powers = [10.0**k for k in range(least, most + 1)]
        zero = [NONE] if any(p.cost < NONE for p in known) else []
        axis.set_xticks(zero + powers, (["0"] if zero else []) + [f"{v:,.0f}" for v in powers])
        axis.set_xticks([k * v for v in (*powers, 10.0 ** (most + 1)) for k in np.arange(2, 10) / 10 if k * v >= 1],
                        labels=[], minor=True)  # fmt: skip
        axis.set(xlabel="passes per map (forward + backward)")
        axis.set_ylabel(f"{metric} {'↓' if direction == 'lower' else '↑'}", parse_math=False)
        axis.set_axisbelow(True)
        axis.grid(color=GRID, linewidth=0.6)
        place_labels(axis, [(max(p.cost, NONE), p.value, p.name) for p in known],
                     colours=[QUIET if p.control or p.dominated else INK for p in known],
                     line=[c for k, x in enumerate(xs) for c in ((x, ys[max(0, k - 1)]), (x, ys[k]))])  # fmt: skip
        return figure


def _colour(p: Point) -> str:
    return "#9aa3ad" if p.control else SERIES[0]
