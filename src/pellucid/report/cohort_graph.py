"""The directed graph of importance: classes on a circle by system, arrows from the regions that speak for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from numpy.typing import NDArray

from pellucid.report.cohort_style import by_system, colour_of, legend, patches, shown
from pellucid.report.labels import width_of
from pellucid.report.style import INK, QUIET, canvas, house_style

MOST_LEVEL = 24  # classes whose names are level; of more they are turned, so that they part
WIDEST = 4.0  # points, of the arrow of the largest mass


def importance_figure(
    edges: pd.DataFrame, *, own: Mapping[str, float], rule: str = "", systems: Mapping[str, str] | None = None
) -> Figure:
    """Nodes are classes, coloured by system, their areas the part of their evidence in their own region.

    An arrow goes from a region to the class that it speaks for; its width and darkness grow with the mass.

    Args:
        edges: of :func:`~pellucid.aggregate.cohort.graph.importance_graph`.
        own: class to mean mass in its own region.
        rule: which edges are drawn, in words.
        systems: class to system of the body, for colours.
    """
    names = by_system(dict.fromkeys([*map(str, edges["target"]), *map(str, edges["source"])]), systems)
    n, top = len(names), float(edges["weight"].max())
    at = {name: _place(math.pi / 2 - math.tau * k / n) for k, name in enumerate(names)}
    known = [v for v in own.values() if math.isfinite(v) and v > 0]
    largest = max(known, default=1.0)
    with house_style():
        circle, side = 2.0 + 0.045 * n, 0.3 + width_of([shown(n) for n in names], size=8.2)
        above = below = 0.75 if n <= MOST_LEVEL else side + 0.35
        span, width, height = 2 * (circle + side), 2 * (circle + side) + 1.75, 2 * circle + above + below
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((0, 0, span / width, 1))  # an inch of it is 1/circle, both ways
        axis.set(xlim=(-span / 2 / circle, span / 2 / circle), ylim=(-1 - below / circle, 1 + above / circle))
        axis.axis("off")
        figure.text(0.15 / width, 1 - 0.12 / height, "From which regions the evidence comes", va="top",
                    fontweight="bold", fontsize=9)  # fmt: skip
        for row in edges.sort_values("weight").to_dict("records"):
            if row["source"] != row["target"]:
                _arrow(axis, at[row["source"]], at[row["target"]], row["weight"] / top,
                       colour_of(row["source"], systems))  # fmt: skip
        for name in names:
            size = 22 + 240 * max(0.0, np.nan_to_num(own.get(name, 0.0))) / largest
            axis.scatter(at[name][0], at[name][1], s=size, color=colour_of(name, systems), edgecolors="white",
                         linewidths=0.8, zorder=3)  # fmt: skip
            x, y = at[name] * (1 + (0.1 + math.sqrt(size) / 2 / 72) / circle)
            turned: dict[str, Any] = {"fontsize": 8.2, "color": INK, "parse_math": False, "zorder": 4}
            if n > MOST_LEVEL:
                turn = math.degrees(math.atan2(y, x))
                turned |= {"rotation": turn if x >= 0 else turn + 180, "rotation_mode": "anchor"}
                ends, vertical = "left" if x >= 0 else "right", "center_baseline"
            else:
                ends = "left" if x > 0.12 else "right" if x < -0.12 else "center"
                vertical = "center" if abs(y) < 0.75 else "bottom" if y > 0 else "top"
            axis.text(x, y, shown(name), ha=ends, va=vertical, **turned)
        right = (span + 0.05) / width
        legend(figure, patches(names, systems), right=right, top=1 - 0.45 / height)
        _scale(figure, top, right, 0.65 / height)
        said = [f"Arrows: {rule}."] if rule else []
        said += [f"Nodes: mass in the class's own region, up to {largest:.3f}."] if known else []
        figure.text(0.15 / width, 0.12 / height, " ".join(said), fontsize=7.5, color=QUIET, va="bottom")
        return figure


def _place(angle: float) -> NDArray[np.float64]:
    return np.array([math.cos(angle), math.sin(angle)])


def _arrow(
    axis: Axes, start: NDArray[np.float64], end: NDArray[np.float64], strength: float, colour: str
) -> None:
    across = float(np.linalg.norm(end - start))
    # Curved to the middle, the more the nearer the two are, so that arrows there and back part and none cuts a node.
    side = 1.0 if start[0] * end[1] < start[1] * end[0] else -1.0
    curve = side * (0.3 - 0.13 * across) - 0.07
    axis.add_patch(
        FancyArrowPatch(
            tuple(start), tuple(end), connectionstyle=f"arc3,rad={curve:.3f}", shrinkA=6, shrinkB=8,
            arrowstyle=f"-|>,head_length={2.2 + 2.4 * strength:.2f},head_width={1.1 + 1.4 * strength:.2f}",
            linewidth=0.35 + (WIDEST - 0.35) * strength, color=colour, alpha=0.3 + 0.6 * strength, zorder=1 + strength,
            joinstyle="miter",
        )
    )  # fmt: skip


def _scale(figure: Figure, top: float, left: float, bottom: float) -> None:
    steps = [top, top / 2, top / 8]
    lines = [Line2D([], [], color=INK, linewidth=0.35 + (WIDEST - 0.35) * s / top, label=f"{s:.3f}") for s in steps]
    figure.legend(handles=lines, loc="lower left", bbox_to_anchor=(left, bottom), borderaxespad=0, title="mass",
                  title_fontsize=8, alignment="left", handlelength=1.8)  # fmt: skip
