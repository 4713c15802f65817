"""Maps over their pictures, with honest colour bars, contours, planes of volumes, and flags in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.errors import InputError
from pellucid.report.layout import (
    BAR,
    FOOT,
    GAP,
    NOTE,
    STROKES,
    colour_bar,
    contours,
    draw,
    grid,
    head,
    notes_below,
    say_missing,
    size_of,
    wrapped,
)
from pellucid.report.planes import Plane, heart, peak, planes
from pellucid.report.shade import grey, scale_for, unit_of, warnings_of, window_of
from pellucid.report.style import house_style


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
        """An input in its display window, ``(*spatial, 3)``; one that the case lacks is an empty field."""
        if name in self.case.missing:
            return np.ones((*self.case.inputs[name].shape[1:], 3))
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
        sizes = [size_of(p) for _, p in cells]
        legend = 16 * len(marks)
        figure, boxes = grid(sizes, rows=1, foot=FOOT + legend, bar=0)
        for i, (name, plane) in enumerate(cells):
            axis = draw(figure, boxes[0][i], plane, plane.values)
            head(axis, name, plane, several=len(names) > 1 or not plane.name)
            if name in stage.case.missing:
                say_missing(axis)
                continue
            contours(axis, [m[i % len(m)] for m in marks.values()], coloured=True)
        lines = [Line2D([], [], color="#111111", lw=2.4, linestyle=STROKES[k % 4][1]) for k in range(len(marks))]
        if marks:
            h = figure.get_figheight() * figure.dpi
            figure.legend(
                lines,
                list(marks),
                loc="lower left",
                bbox_to_anchor=(GAP / (figure.get_figwidth() * figure.dpi), 2 / h),
                borderaxespad=0,
                borderpad=0,
                labelspacing=0.25,
                handlelength=2.6,
                fontsize=8,
            )
            for k, line in enumerate(figure.legends[0].get_lines()):
                line.set(
                    color=STROKES[k % 4][0], path_effects=[withStroke(linewidth=3.8, foreground="#333333")], lw=1.8
                )
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
        (n, under, over) for n in shown for under, over in zip(stage.cut_background(n), stage.cut(a.spatial(n).numpy()))
    ]
    sizes = [size_of(o) for _, _, o in cells]
    notes = wrapped(warnings_of(a.flags), sum(w for _, w in sizes) + BAR)
    with house_style():
        figure, boxes = grid(sizes, rows=2, foot=FOOT, bar=BAR, note=NOTE * len(notes) + (4 if notes else 0))
        for i, (name, under, over) in enumerate(cells):
            if name in stage.case.missing:
                for row in range(2):
                    axis = draw(figure, boxes[row][i], under, under.values)
                    say_missing(axis)
                    if row == 0:
                        head(axis, name, over, several=len(shown) > 1 or not over.name)
                continue
            here = [m[i % len(m)] for m in marks]
            top = draw(figure, boxes[0][i], over, scale.over(under.values, over.values))
            head(top, name, over, several=len(shown) > 1 or not over.name)
            contours(top, here, coloured=True)
            low = draw(figure, boxes[1][i], over, scale.colours(over.values)[..., :3])
            contours(low, here, coloured=False)
        colour_bar(figure, boxes, scale, unit)
        notes_below(figure, notes)
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
        >>> len(plot(m).axes)  # over the picture, alone, and the colour bar
        3
    """
    from pellucid.report.charts import table_bars

    if case is not None and case.id != a.case_id:
        raise InputError(
            f"the map is of case {a.case_id}, the case given is {case.id}; give the one that was explained"
        )
    if not a.images:
        return table_bars([a], case)
    known: Mapping[str, Any] = {} if case is None else case.regions
    chosen = {k: known[k] for k in ("lesion",) if k in known} if marks is None else marks
    masks = {k: np.asarray(m) != 0 for k, m in chosen.items()}
    at = peak(heat_of(a))
    if case is None:
        blank = {n: a.spatial(n)[None] * 0 for n in a.images}
        stage = Stage(
            Case(
                id=a.case_id,
                inputs={n: b.nan_to_num(0.0, 0.0, 0.0) for n, b in blank.items()},
                spacing=a.spacing,
                geometry=a.geometry,
                meta={"window": (-1.0, 1.0)},
            ),
            masks,
            at,
        )
    else:
        stage = Stage(case, masks, at)
    figure = map_tile(stage, a, unit=unit_of(a))
    height = figure.get_figheight() * figure.dpi
    figure.text(
        6 / (figure.get_figwidth() * figure.dpi),
        1 + 4 / height,
        f"{a.method}: {a.target.get('label', 'target')}, case {a.case_id}",
        fontsize=9,
        va="bottom",
        parse_math=False,
    )
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
