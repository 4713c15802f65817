"""Pictures laid out by hand, on whole pixels: cells, contours, letters, the colour bar, notes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from pellucid.report.planes import Plane
from pellucid.report.shade import Scale
from pellucid.report.style import QUIET, SIGNED, UNSIGNED, pixels

LARGEST = 256  # pixels of a picture in a figure at most
HEAD, GAP, BAR, FOOT, NOTE = 18, 6, 96, 8, 15
LETTER = 7.6  # pixels that a bold letter of a note takes
# Colour over a picture, and the line's style, so that colour is not the only difference.
STROKES: tuple[tuple[str, Any], ...] = (
    ("#ffd92f", "-"),
    ("#22e0ff", (0, (3, 1.6))),
    ("#b6ff5c", (0, (1, 1.4))),
    ("#ff9df2", (0, (5, 1, 1, 1))),
)


def size_of(plane: Plane) -> tuple[int, int]:
    """Height and width in pixels of a figure: whole multiples of the picture's own where its pixels are square."""
    rows, columns = plane.values.shape[:2]
    tall, wide = plane.size
    if abs((tall / rows) / (wide / columns) - 1) < 0.01 and max(rows, columns) <= LARGEST:
        times = max(1, LARGEST // max(rows, columns))
        return rows * times, columns * times
    times = min(LARGEST, max(192, rows, columns)) / max(tall, wide)
    return max(24, round(tall * times)), max(24, round(wide * times))


def grid(
    sizes: Sequence[tuple[int, int]], *, rows: int, foot: int, bar: int, note: int = 0
) -> tuple[Figure, list[list[tuple[int, int, int, int]]]]:
    """A figure, and for each row and cell ``(left, bottom, width, height)`` in pixels."""
    tall = max(h for h, _ in sizes)
    width = GAP + sum(w + GAP for _, w in sizes) + bar
    height = HEAD + rows * tall + (rows - 1) * GAP + foot + note
    boxes = []
    for row in range(rows):
        left, line = GAP, []
        top = height - HEAD - row * (tall + GAP)
        for h, w in sizes:
            line.append((left, top - h, w, h))
            left += w + GAP
        boxes.append(line)
    return pixels(width, height), boxes


def place(figure: Figure, box: tuple[int, int, int, int]) -> Axes:
    """An axis on so many pixels."""
    w, h = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
    return figure.add_axes((box[0] / w, box[1] / h, box[2] / w, box[3] / h))


def draw(figure: Figure, box: tuple[int, int, int, int], plane: Plane, colours: NDArray) -> Axes:
    """A picture with its frame and letters."""
    axis = place(figure, box)
    large = max(plane.values.shape[:2]) > max(box[2:])
    axis.imshow(np.clip(colours, 0, 1), aspect="auto", interpolation="antialiased" if large else "nearest")
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(visible=True, color="#aeb6bf", linewidth=0.6)
    places = (
        (0.02, 0.5, "left", "center"),
        (0.98, 0.5, "right", "center"),
        (0.5, 0.985, "center", "top"),
        (0.5, 0.015, "center", "bottom"),
    )
    for letter, (x, y, ha, va) in zip(plane.edges, places):
        if letter:
            axis.text(
                x,
                y,
                letter,
                transform=axis.transAxes,
                ha=ha,
                va=va,
                fontsize=8,
                color="white",
                fontweight="bold",
                path_effects=[withStroke(linewidth=1.8, foreground="black")],
            )
    return axis


def head(axis: Axes, name: str, plane: Plane, *, several: bool) -> None:
    """Name and slice over a picture."""
    text = ", ".join(t for t in (name if several else "", plane.name) if t)
    index = "" if plane.index is None else f" {plane.index}"
    axis.set_title(text + index, fontsize=8, color=QUIET, pad=3, loc="left", parse_math=False)


def say_missing(axis: Axes) -> None:
    """The word in the place of a picture or map of an input that the case lacks."""
    axis.text(0.5, 0.5, "missing", transform=axis.transAxes, ha="center", va="center", fontsize=9, color=QUIET)


def contours(axis: Axes, marks: Sequence[Plane], *, coloured: bool) -> None:
    """Masks as outlines, in colour over a picture, in black and white over a map."""
    for k, mark in enumerate(marks):
        mask = np.asarray(mark.values) != 0
        if not mask.any() or mask.all():
            continue
        colour, style = STROKES[k % len(STROKES)]
        ring = np.pad(mask.astype(float), 1)
        xs, ys = np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1)
        line = axis.contour(
            xs, ys, ring, levels=[0.5], colors=[colour if coloured else "black"], linewidths=0.9, linestyles=[style]
        )
        line.set_path_effects([withStroke(linewidth=1.6, foreground="#202020" if coloured else "white")])
        axis.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))


def colour_bar(figure: Figure, boxes: list[list[tuple[int, int, int, int]]], scale: Scale, unit: str) -> None:
    """The bar beside the map, with the text that says what its ends are."""
    last = boxes[1][-1]
    right = last[0] + last[2]
    low, high = min(b[1] for b in boxes[1]), max(b[1] + b[3] for b in boxes[1])
    axis = place(figure, (right + GAP + 4, low + 6, 10, high - low - 12))
    mappable = ScalarMappable(Normalize(scale.low, scale.limit), SIGNED if scale.signed else UNSIGNED)
    bar = figure.colorbar(mappable, cax=axis, extend=scale.extend)
    ticks = (
        [-scale.limit, -scale.limit / 2, 0, scale.limit / 2, scale.limit]
        if scale.signed
        else [0, scale.limit / 2, scale.limit]
    )
    bar.set_ticks(ticks if not scale.zero else [0], labels=[f"{t:.2g}" for t in (ticks if not scale.zero else [0])])
    bar.ax.tick_params(labelsize=7.5, length=2, pad=2)
    bar.outline.set_linewidth(0.5)
    colours = ("red: for", "blue: against") if scale.signed else ("bright: more",)
    text = "\n".join((*(t for t in (scale.ends, scale.covers, unit) if t), "", *colours))
    top = boxes[0][-1]
    h, w = figure.get_figheight() * figure.dpi, figure.get_figwidth() * figure.dpi
    figure.text(
        (right + GAP + 4) / w, (top[1] + top[3]) / h, text, fontsize=7.5, va="top", color=QUIET, linespacing=1.35
    )


def wrapped(notes: Sequence[str], width: int) -> list[str]:
    """Notes in lines that fit into so many pixels, each beginning with a mark."""
    return [line for note in notes for line in textwrap.wrap("! " + note, max(20, int(width / LETTER)))]


def notes_below(figure: Figure, notes: Sequence[str]) -> None:
    """What is wrong with the map, under it."""
    h, w = figure.get_figheight() * figure.dpi, figure.get_figwidth() * figure.dpi
    for k, note in enumerate(notes):
        figure.text(
            GAP / w,
            (5 + NOTE * (len(notes) - 1 - k)) / h,
            note,
            fontsize=8,
            va="bottom",
            color="#8a1c0f",
            fontweight="bold",
            parse_math=False,
        )
