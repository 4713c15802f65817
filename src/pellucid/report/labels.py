"""Names beside the points of a chart, placed so that they neither cover each other nor the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath

from pellucid.report.style import QUIET

NEAR, FARTHEST = 9, 260  # pixels from a point to its name
TURNS = tuple(math.tau * k / 16 for k in (0, 8, 4, 12, 2, 14, 6, 10, 1, 15, 3, 13, 5, 11, 7, 9))  # right, left, up …
Box = tuple[float, float, float, float]


def width_of(names: Sequence[str], *, size: float = 8, least: float = 0.3) -> float:
    """Inches that the longest of these names takes."""
    return max((size * _width(n) for n in map(_plain, names) if n.strip()), default=least) + 0.02


@lru_cache(maxsize=4096)
def _width(name: str) -> float:
    """Inches that a name takes in letters of one point."""
    font = FontProperties(family="DejaVu Sans")
    return float(TextPath((0, 0), name, prop=font, usetex=False, size=10).get_extents().width) / 720


def place_labels(
    axis: Axes, points: Sequence[tuple[float, float, str]], *, colours: Sequence[str], size: float = 7.5,
    line: Sequence[tuple[float, float]] = (),
) -> list[Box]:  # fmt: skip
    """Write a name beside each point; one that had to go farther away gets a line to its point.

    The axis must have its final limits and place, because the names are measured in pixels.

    Args:
        axis: to write on.
        points: x and y in data coordinates, and the name.
        colours: of the names.
        size: of the letters.
        line: corners of a line, in data coordinates, that is to be kept free.

    Returns:
        The boxes of the names in pixels, ``(left, bottom, right, top)``.
    """
    figure = axis.figure
    assert isinstance(figure, Figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    frame = axis.get_window_extent(renderer)
    dots = [axis.transData.transform((x, y)) for x, y, _ in points]
    taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in dots]
    corners = [axis.transData.transform(corner) for corner in line]
    for (xa, ya), (xb, yb) in pairwise(corners):  # in short pieces, so that a slanting one takes no more than it needs
        dx, dy = (xb - xa) / 40, (yb - ya) / 40
        for x, y in ((xa + k * dx, ya + k * dy) for k in range(40)):
            taken.append((min(x, x + dx) - 1, min(y, y + dy) - 1, max(x, x + dx) + 1, max(y, y + dy) + 1))
    boxes: list[Box] = []
    for (_, _, name), (px, py), colour in zip(points, dots, colours):
        text = axis.text(0, 0, name, fontsize=size, color=colour, parse_math=False, transform=None, va="bottom",
                         path_effects=[withStroke(linewidth=2.2, foreground="white")], zorder=4)  # fmt: skip
        extent = text.get_window_extent(renderer)
        box, away = _free(px, py, extent.width + 5, extent.height, taken, (frame.x0, frame.y0, frame.x1, frame.y1))
        text.set_position(box[:2])
        if away > 2 * NEAR:
            ends = axis.transData.inverted().transform([(px, py), _nearest(box, px, py)])
            axis.plot(*ends.T, color=QUIET, linewidth=0.5, zorder=0.5, scalex=False, scaley=False)
        taken.append(box)
        boxes.append(box)
    return boxes


def _free(x: float, y: float, w: float, h: float, taken: Sequence[Box], frame: Box) -> tuple[Box, float]:
    """The nearest place for a box of this size about a point that covers nothing; else the one that covers least."""
    best: tuple[float, Box, float] | None = None
    away = float(NEAR)
    while away <= FARTHEST:
        for turn in TURNS:
            cx, cy = x + math.cos(turn) * (away + w / 2), y + math.sin(turn) * (away + h / 2)
            box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
            if box[0] < frame[0] or box[2] > frame[2] or box[1] < frame[1] or box[3] > frame[3]:
                continue
            cover = sum(_overlap(box, other) for other in taken)
            if cover == 0:
                return box, away
            if best is None or cover < best[0]:
                best = (cover, box, away)
        away *= 1.25
    return (best[1], best[2]) if best else ((x, y, x + w, y + h), NEAR)


def _overlap(a: Box, b: Box) -> float:
    """Area shared by two boxes, in square pixels."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _nearest(box: Box, x: float, y: float) -> tuple[float, float]:
    return min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])


def _plain(name: str) -> str:
    return name.replace("$", "S")  # measured as letters, never read as a formula
