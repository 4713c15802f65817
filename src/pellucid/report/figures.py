"""Maps over their pictures, with honest colour bars, contours, planes of volumes, and flags in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.errors import InputError
from pellucid.report.planes import Plane, heart, peak, planes
from pellucid.report.shade import Scale, grey, scale_for, unit_of, warnings_of, window_of
from pellucid.report.style import QUIET, SIGNED, UNSIGNED, house_style, pixels

SIDE, LARGEST = 184, 256  # pixels of a picture in a figure: about so many, and at most
HEAD, GAP, BAR, FOOT, NOTE = 18, 6, 104, 8, 15
# Colour over a picture, and the line's style, so that colour is not the only difference.
STROKES = (("#ffd92f", "-"), ("#22e0ff", (0, (3, 1.6))), ("#b6ff5c", (0, (1, 1.4))), ("#ff9df2", (0, (5, 1, 1, 1))))


@dataclass(frozen=True, eq=False)
class Stage:
    """What is drawn under and around every map of a case.

    Attributes:
        case: its pictures.
        marks: name to mask ``(*spatial)``: drawn as contours, the first solid, the second dashed …
        at: voxel through which a volume's planes go.
    """

    case: Case
    marks: Mapping[str, NDArray] = field(default_factory=dict)
    at: tuple[int, ...] | None = None

    def cut(self, values: NDArray) -> list[Plane]:
        """The planes of values on the case's grid."""
        ndim = len(self.case.spatial)
        return planes(values, ndim=ndim, at=self.at, geometry=self.case.geometry, spacing=self.case.spacing)

    def background(self, name: str) -> NDArray:
        """An input in its display window, ``(*spatial, 3)``."""
        return grey(self.case.inputs[name].numpy(), window_of(self.case.meta, name))

    def cut_background(self, name: str) -> list[Plane]:
        """The planes of an input, in colour."""
        whole = self.background(name)
        if len(self.case.spatial) == 2:
            return self.cut(whole)
        channels = [self.cut(whole[..., c]) for c in range(3)]
        return [
            Plane(np.stack([p.values for p in same], -1), same[0].name, same[0].edges, same[0].size, same[0].index)
            for same in zip(*channels)
        ]


def input_tile(stage: Stage, names: Sequence[str]) -> Figure:
    """The pictures that the model saw, with the marks and a legend of them."""
    cells = [(n, p) for n in names for p in stage.cut_background(n)]
    marks = {k: stage.cut(m) for k, m in stage.marks.items()}
    with house_style():
        sizes = [_size(p) for _, p in cells]
        legend = 16 * len(marks)
        figure, boxes = _grid(sizes, rows=1, foot=FOOT + legend, bar=0)
        for i, (name, plane) in enumerate(cells):
            axis = _picture(figure, boxes[0][i], plane, plane.values)
            _title(axis, name, plane, several=len(names) > 1 or not plane.name)
            _contours(axis, [m[i % len(m)] for m in marks.values()], coloured=True)
        lines = [Line2D([], [], color="#111111", lw=2.4, linestyle=STROKES[k % 4][1]) for k in range(len(marks))]
        if marks:
            h = figure.get_figheight() * figure.dpi
            figure.legend(
                lines, list(marks), loc="lower left", bbox_to_anchor=(GAP / (figure.get_figwidth() * figure.dpi), 2 / h),
                borderaxespad=0, borderpad=0, labelspacing=0.25, handlelength=2.6, fontsize=8,
            )  # fmt: skip
            for k, line in enumerate(figure.legends[0].get_lines()):
                line.set(color=STROKES[k % 4][0], path_effects=[withStroke(linewidth=3.8, foreground="#333333")], lw=1.8)
        return figure


def map_tile(stage: Stage, a: Attribution, *, unit: str = "", names: Sequence[str] | None = None) -> Figure:
    """An attribution's pictures: over the input above, alone below, one colour bar for all.

    Args:
        stage: the case, with its marks.
        a: its attribution; every input with a map is drawn.
        unit: of the map's numbers, beside the bar.
        names: which inputs, all with a map by default.
    """
    shown = [n for n in (a.images if names is None else names) if n in a.maps]
    _fits(stage.case, a, shown)
    scale = scale_for(a)
    marks = [stage.cut(m) for m in stage.marks.values()]
    cells = [
        (n, under, over)
        for n in shown
        for under, over in zip(stage.cut_background(n), stage.cut(a.spatial(n).numpy()))
    ]
    notes = warnings_of(a.flags)
    with house_style():
        figure, boxes = _grid(
            [_size(o) for _, _, o in cells], rows=2, foot=FOOT, bar=BAR, note=NOTE * len(notes) + (4 if notes else 0)
        )
        for i, (name, under, over) in enumerate(cells):
            here = [m[i % len(m)] for m in marks]
            top = _picture(figure, boxes[0][i], over, scale.over(under.values, over.values))
            _title(top, name, over, several=len(shown) > 1 or not over.name)
            _contours(top, here, coloured=True)
            low = _picture(figure, boxes[1][i], over, scale.colours(over.values)[..., :3])
            _contours(low, here, coloured=False)
        _bar(figure, boxes, scale, unit)
        _notes(figure, notes)
        return figure


def plot(a: Attribution, case: Case | None = None, *, marks: Mapping[str, Any] | None = None) -> Figure:
    """A figure of an attribution: pictures over the case's if it is given, tables as signed bars.

    Args:
        a: what to draw.
        case: the one that was explained; without it the maps are drawn alone.
        marks: name to mask to be drawn as contours; the case's region ``lesion``, if any, by default.

    Raises:
        InputError: the case is another one, or of another shape.

    Example:
        >>> import torch
        >>> m = Attribution(maps={"x": torch.eye(8)}, method="m", case_id="1", target={"label": "a"}, score=1.0)
        >>> len(plot(m).axes)
        2
    """
    from pellucid.report.charts import table_bars

    if case is not None and case.id != a.case_id:
        raise InputError(f"the map is of case {a.case_id}, the case given is {case.id}; give the one that was explained")
    if not a.images:
        return table_bars([a], case)
    known: Mapping[str, Any] = {} if case is None else case.regions
    chosen = {k: known[k] for k in ("lesion",) if k in known} if marks is None else marks
    masks = {k: np.asarray(m) != 0 for k, m in chosen.items()}
    at = peak(heat_of(a))
    if case is None:
        blank = {n: a.spatial(n)[None] * 0 for n in a.images}
        stage = Stage(Case(id=a.case_id, inputs={n: b.nan_to_num(0.0, 0.0, 0.0) for n, b in blank.items()},
                           spacing=a.spacing, geometry=a.geometry, meta={"window": (-1.0, 1.0)}), masks, at)  # fmt: skip
    else:
        stage = Stage(case, masks, at)
    figure = map_tile(stage, a, unit=unit_of(a))
    height = figure.get_figheight() * figure.dpi
    figure.text(
        6 / (figure.get_figwidth() * figure.dpi), 1 + 4 / height,
        f"{a.method}: {a.target.get('label', 'target')}, case {a.case_id}", fontsize=9, va="bottom", parse_math=False,
    )  # fmt: skip
    return figure


def heat_of(a: Attribution) -> NDArray:
    """Magnitudes of an attribution's pictures, added up over the inputs of the first one's shape, ``(*spatial)``."""
    first = a.spatial(a.images[0])
    parts = [a.spatial(n) for n in a.images if a.spatial(n).shape == first.shape]
    return np.sum([np.abs(np.nan_to_num(p.numpy(), posinf=0.0, neginf=0.0)) for p in parts], axis=0)


def explained_voxel(mask: NDArray | None, maps: Sequence[NDArray]) -> tuple[int, ...] | None:
    """Where a volume's planes go: the middle of the explained region, else the peak of the first map."""
    middle = None if mask is None else heart(mask)
    return middle if middle is not None else (peak(maps[0]) if maps else None)


def _fits(case: Case, a: Attribution, names: Sequence[str]) -> None:
    for name in names:
        if name not in case.inputs:
            raise InputError(f"case {case.id}: the map is of input {name!r}, the case has {', '.join(case.inputs)}")
        have, want = tuple(a.spatial(name).shape), tuple(case.inputs[name].shape[1:])
        if have != want:
            raise InputError(f"case {case.id}: the map of {name!r} is {have}, the picture {want}; give its own case")


def _size(plane: Plane) -> tuple[int, int]:
    """Height and width in pixels of a figure: whole multiples of the picture's own where its pixels are square."""
    rows, columns = plane.values.shape[:2]
    tall, wide = plane.size
    if abs((tall / rows) / (wide / columns) - 1) < 0.01 and max(rows, columns) <= LARGEST:
        times = max(1, round(SIDE / max(rows, columns)))
        return rows * times, columns * times
    times = min(SIDE if max(rows, columns) <= SIDE else LARGEST, LARGEST) / max(tall, wide)
    return max(24, round(tall * times)), max(24, round(wide * times))


def _grid(
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


def _axes(figure: Figure, box: tuple[int, int, int, int]) -> Axes:
    w, h = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
    return figure.add_axes((box[0] / w, box[1] / h, box[2] / w, box[3] / h))


def _picture(figure: Figure, box: tuple[int, int, int, int], plane: Plane, colours: NDArray) -> Axes:
    axis = _axes(figure, box)
    large = max(plane.values.shape[:2]) > max(box[2:])
    axis.imshow(np.clip(colours, 0, 1), aspect="auto", interpolation="antialiased" if large else "nearest")
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(visible=True, color="#aeb6bf", linewidth=0.6)
    places = ((0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center"), (0.5, 0.985, "center", "top"),
              (0.5, 0.015, "center", "bottom"))  # fmt: skip
    for letter, (x, y, ha, va) in zip(plane.edges, places):
        if letter:
            axis.text(x, y, letter, transform=axis.transAxes, ha=ha, va=va, fontsize=8, color="white",
                      fontweight="bold", path_effects=[withStroke(linewidth=1.8, foreground="black")])  # fmt: skip
    return axis


def _title(axis: Axes, name: str, plane: Plane, *, several: bool) -> None:
    text = ", ".join(t for t in (name if several else "", plane.name) if t)
    index = "" if plane.index is None else f" {plane.index}"
    axis.set_title(text + index, fontsize=8, color=QUIET, pad=3, loc="left", parse_math=False)


def _contours(axis: Axes, marks: Sequence[Plane], *, coloured: bool) -> None:
    for k, mark in enumerate(marks):
        mask = np.asarray(mark.values) != 0
        if not mask.any() or mask.all():
            continue
        colour, style = STROKES[k % len(STROKES)]
        ring = np.pad(mask.astype(float), 1)
        xs, ys = np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1)
        line = axis.contour(xs, ys, ring, levels=[0.5], colors=[colour if coloured else "black"], linewidths=0.9,
                            linestyles=[style])  # fmt: skip
        line.set_path_effects([withStroke(linewidth=1.9, foreground="#202020" if coloured else "white")])
        axis.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))


def _bar(figure: Figure, boxes: list[list[tuple[int, int, int, int]]], scale: Scale, unit: str) -> None:
    last = boxes[1][-1]
    right = last[0] + last[2]
    low, high = min(b[1] for b in boxes[1]), max(b[1] + b[3] for b in boxes[1])
    axis = _axes(figure, (right + GAP + 4, low + 6, 10, high - low - 12))
    mappable = ScalarMappable(Normalize(scale.low, scale.limit), SIGNED if scale.signed else UNSIGNED)
    bar = figure.colorbar(mappable, cax=axis, extend=scale.extend)
    ticks = [-scale.limit, -scale.limit / 2, 0, scale.limit / 2, scale.limit] if scale.signed else [
        0, scale.limit / 2, scale.limit
    ]  # fmt: skip
    bar.set_ticks(ticks if not scale.zero else [0], labels=[f"{t:.2g}" for t in (ticks if not scale.zero else [0])])
    bar.ax.tick_params(labelsize=7.5, length=2, pad=2)
    bar.outline.set_linewidth(0.5)  # type: ignore[operator]
    ends = ("", "red: for", "blue: against") if scale.signed else ("", "bright: more")
    text = "\n".join((scale.text, *([unit] if unit else []), *ends))
    top = boxes[0][-1]
    h, w = figure.get_figheight() * figure.dpi, figure.get_figwidth() * figure.dpi
    figure.text((right + GAP + 4) / w, (top[1] + top[3]) / h, text, fontsize=7.5, va="top", color=QUIET, linespacing=1.35)


def _notes(figure: Figure, notes: Sequence[str]) -> None:
    h, w = figure.get_figheight() * figure.dpi, figure.get_figwidth() * figure.dpi
    for k, note in enumerate(notes):
        figure.text(GAP / w, (5 + NOTE * (len(notes) - 1 - k)) / h, "! " + note, fontsize=8, va="bottom",
                    color="#8a1c0f", fontweight="bold", parse_math=False)  # fmt: skip
