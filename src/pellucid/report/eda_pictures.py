"""The page's pieces on pictures: histograms by class, and a few of each class."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from pellucid.report.eda_charts import MOST, class_histograms
from pellucid.report.layout import GAP, HEAD, STROKES, contours, draw
from pellucid.report.numbers import number
from pellucid.report.pieces import Panel, listed, panel, picture
from pellucid.report.planes import Plane
from pellucid.report.style import INK, QUIET, data_uri, house_style, pixels
from pellucid.study.store import Run

ACROSS = 6  # pictures in a line of the montage
LABEL = {"facecolor": "black", "alpha": 0.55, "linewidth": 0, "pad": 1.2}
TILE = 128  # pixels along the longer side


def histogram_panels(run: Run, task: str) -> list[Panel]:
    """Values of the pictures by class, in the pictures' own units."""
    table = run.table("eda_histograms", task)
    if not len(table):
        return []
    sizes = table.drop_duplicates(["input", "class"]).groupby("class", sort=False)["cases"].max()
    most = set(sizes.sort_values(ascending=False, kind="stable").index[:MOST])
    drawn = [str(c) for c in sizes.index if c in most]
    left = [str(c) for c in sizes.index if c not in most]
    panels = {
        str(name): own[own["class"].isin(drawn)] for name, own in table.groupby("input", sort=False)
    }  # fmt: skip
    pictures = run.table("eda_pictures", task)
    rows = []
    for name, own in pictures.groupby("input", sort=False):
        texts = [f"{number(own['min'].min())} to {number(own['max'].max())}", number(own["mean"].mean()),
                 number(own["mean"].std()), number(own["sd"].mean()), listed(sorted(set(own["shape"])), 3)]  # fmt: skip
        rows.append({"name": str(name), "control": False, "cells": [{"text": t, "small": ""} for t in texts]})
    notes = ["Mean share of each picture by bin, every case alike, with the 95 % interval over patients as a band; the "
             "outermost bins hold what lies beyond."]  # fmt: skip
    if left:
        notes.append(f"Drawn are the {len(drawn)} classes with most cases; not {listed(left)}.")
    head = ["picture", "range", "mean of the means", "sd of the means", "mean of the sds", "sizes"]
    said = f"Histograms of {', '.join(panels)} by class: {', '.join(drawn)}."
    line = ", ".join(panels) + (f" by {len(drawn)} classes" if len(drawn) > 1 else "")
    return [panel("Values of the pictures", line, notes=notes, picture=picture(class_histograms(panels), said),
                  table={"head": head, "rows": rows})]  # fmt: skip


def montage_panels(run: Run, task: str) -> list[Panel]:
    """A few pictures of each class, with outlines of what is known to be in them."""
    table = run.table("eda_montage", task)
    if not len(table):
        return []
    classes = [str(c) for c in dict.fromkeys(table["class"])]
    names = [n for n in dict.fromkeys(n for text in table["names"] for n in text.split("|")) if n]
    cells = [_cell(r, names) for r in table.to_dict("records")]
    uri = data_uri(_montage(cells, classes, names))
    outlined = f"Outlined: {', '.join(names)}." if names else "No region is outlined."
    notes = [f"Drawn by the seed among the cases of each class, those with regions first; no ids. {outlined}"]
    if table["left"].ne("").any():
        notes.append("Axial slices on which the regions are largest, the middle one without; R is the patient's right.")
    alt = f"{len(cells)} pictures of {', '.join(classes)}. {outlined}"
    return [panel("A few of each class", f"{len(cells)} pictures", notes=notes, picture={"uri": uri, "alt": alt})]


def _cell(r: dict[Any, Any], names: list[str]) -> dict[str, Any]:
    """A tile: colours, outlined masks by name, letters, title."""
    values = np.asarray(Image.open(io.BytesIO(r["picture"])), float) / 255
    values = np.repeat(values[..., None], 3, -1) if values.ndim == 2 else values
    bits = np.asarray(Image.open(io.BytesIO(r["outlines"])))
    own = [n for n in r["names"].split("|") if n]
    edges = (r["left"], r["right"], r["top"], r["bottom"])
    size = (float(r["tall"]), float(r["wide"]))
    marks = {n: (bits >> k) & 1 for k, n in enumerate(own)}
    empty = np.zeros(bits.shape, np.uint8)
    return {
        "class": str(r["class"]), "input": str(r["input"]), "plane": Plane(values, "", edges, size),
        "marks": [Plane(marks.get(n, empty), "", edges, size) for n in names],
    }  # fmt: skip


def _montage(cells: list[dict[str, Any]], classes: list[str], names: list[str]) -> Any:
    """Lines of pictures under the name of their class, and a legend of the outlines."""
    several = len({c["input"] for c in cells}) > 1
    sizes = {id(c): _size(c["plane"]) for c in cells}
    lines: list[tuple[str, list[dict[str, Any]]]] = []
    for name in classes:
        own = [c for c in cells if c["class"] == name]
        lines += [(name if not k else "", own[k : k + ACROSS]) for k in range(0, len(own), ACROSS)]
    # Classes with few pictures stand side by side.
    wide = max(sum(sizes[id(c)][1] + GAP for c in own) for _, own in lines)
    beside = max(1, (ACROSS * (TILE + GAP)) // (wide + 3 * GAP)) if len(lines) > 1 else 1
    blocks = [lines[k : k + beside] for k in range(0, len(lines), beside)]
    width = GAP + beside * (wide + 3 * GAP)
    talls = [max(sizes[id(c)][0] for _, own in block for c in own) for block in blocks]
    legend = 18 * bool(names)
    height = sum(t + HEAD + GAP for t in talls) + GAP + legend
    with house_style():
        figure = pixels(width, height)
        top = height
        for block, tall in zip(blocks, talls):
            for k, (name, own) in enumerate(block):
                left = GAP + k * (wide + 3 * GAP)
                figure.text(left / width, (top - HEAD + 4) / height, name, fontsize=8, color=INK, parse_math=False)
                for c in own:
                    h, w = sizes[id(c)]
                    axis = draw(figure, (left, top - HEAD - h, w, h), c["plane"], c["plane"].values)
                    contours(axis, c["marks"], coloured=True)
                    if several:
                        axis.text(0.03, 0.03, c["input"], transform=axis.transAxes, fontsize=6.5, color="white",
                                  parse_math=False, bbox=LABEL)  # fmt: skip
                    left += w + GAP
            top -= tall + HEAD + GAP
        left = GAP
        for k, name in enumerate(names):
            colour, style = STROKES[k % len(STROKES)]
            y = (legend / 2) / height
            figure.add_artist(_line(left / width, (left + 26) / width, y, colour, style))
            figure.text((left + 31) / width, y, name, fontsize=7.5, color=QUIET, va="center", parse_math=False)
            left += 31 + 8 * len(name) + 14
        return figure


def _line(left: float, right: float, y: float, colour: str, style: Any) -> Any:
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    return Line2D([left, right], [y, y], color=colour, linestyle=style, linewidth=1.8,
                  path_effects=[withStroke(linewidth=3.8, foreground="#333333")])  # fmt: skip


def _size(plane: Plane) -> tuple[int, int]:
    tall, wide = plane.size
    times = TILE / max(tall, wide)
    return max(24, round(tall * times)), max(24, round(wide * times))
