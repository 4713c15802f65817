"""A few pictures of every class, small, with the outlines of what is known to be in them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from pellucid.core.case import Case
from pellucid.explore.lesions import masks

SIDE = 128  # pixels of a tile at most
OUTLINED = 4  # regions of a tile at most: more cannot be told apart
TOO_LARGE = 0.3  # of the picture: the patient's outline says nothing about where to look


def montage(
    cases: Sequence[Case], parts: Sequence[str], groups: Mapping[str, NDArray[np.bool_]], *, each: int,
    classes: Sequence[str] = (), seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Pictures of every class, drawn by the seed among its cases; those that have a region first.

    Of a volume the axial slice is shown on which its regions are largest, the middle one where it has none.

    Args:
        cases: to draw from.
        parts: that each is in.
        groups: name of a class to the cases in it.
        each: how many of a class.
        classes: names of a true mask's classes.
        seed: of the draw.

    Returns:
        ``class, place, part, input, picture, outlines, names, left, right, top, bottom, tall, wide``: the picture as it
        is shown and the outlined regions (a bit for each of ``names``, joined by ``|``) as PNG, the letters at its
        edges, its size in mm (or pixels). No ids.
    """
    rng, rows = np.random.default_rng(seed), []
    for name, inside in groups.items():
        found = rng.permutation(np.flatnonzero(inside))
        marked = [k for k in found if cases[k].regions or getattr(cases[k].truth, "ndim", 0) > 1]
        chosen = [*marked, *(k for k in found if k not in set(marked))][:each]
        for place, k in enumerate(chosen):
            rows += [{"class": name, "place": place, "part": parts[k], **tile} for tile in tiles(cases[k], classes)]
    return pd.DataFrame(rows)


def tiles(case: Case, classes: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The pictures of one case, one tile each."""
    marks = [(n, m) for n, m, _ in masks(case, classes) if m.any() and m.mean() < TOO_LARGE]
    marks = _apart(marks)[:OUTLINED]
    at = 0
    if len(case.spatial) == 3:
        everything = np.logical_or.reduce([np.zeros(case.spatial, bool), *(m for _, m in marks)])
        size = _axial(case, everything)[0].sum((0, 1))
        at = int(size.argmax()) if size.any() else len(size) // 2
    rows = []
    for name in case.images:
        values = case.inputs[name].numpy()
        if values.shape[1:] != case.spatial or name in case.missing:
            continue
        shown = _shown(values, _window(case, name))
        planes = [_axial(case, c) for c in shown]
        letters, mm = planes[0][1:]
        picture = np.stack([p[0][..., at] for p in planes], -1)
        bits = np.zeros(picture.shape[:2], np.uint8)
        for k, (_, mask) in enumerate(marks):
            bits |= _axial(case, mask)[0][..., at].astype(np.uint8) << k
        rows.append({
            "input": name, "picture": _png(picture, smooth=True), "outlines": _png(bits, smooth=False),
            "names": "|".join(n for n, _ in marks), **dict(zip(("left", "right", "top", "bottom"), letters)),
            "tall": picture.shape[0] * mm[0], "wide": picture.shape[1] * mm[1],
        })  # fmt: skip
    return rows


def _apart(marks: list[tuple[str, NDArray[np.bool_]]]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Each outline once: the lesion may be the true mask as well."""
    kept: list[tuple[str, NDArray[np.bool_]]] = []
    for name, mask in marks:
        if not any(np.array_equal(mask, other) for _, other in kept):
            kept.append((name, mask))
    return kept


def _axial(case: Case, values: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, str, str, str], tuple[float, float]]:
    """``(rows, columns, slices)``, the letters at the edges, and mm along rows and columns."""
    mm = case.spacing or (1.0,) * values.ndim
    if values.ndim == 2:
        return values[..., None], ("", "", "", ""), (mm[0], mm[1])
    if case.geometry is None:
        return values, ("", "", "", ""), (mm[0], mm[1])
    turned, grid = case.geometry.reoriented(values, "LPS")
    opposite = dict(zip("RLAPSI", "LRPAIS"))
    across, down = grid.orientation[0], grid.orientation[1]
    letters = (opposite[across], across, opposite[down], down)
    return turned.transpose(1, 0, 2), letters, (grid.spacing[1], grid.spacing[0])


def _window(case: Case, name: str) -> tuple[float, float] | None:
    window = case.meta.get("window")
    if isinstance(window, Mapping):
        window = window.get(name)
    return None if window is None else (float(window[0]), float(window[1]))


def _shown(values: NDArray[Any], window: tuple[float, float] | None) -> NDArray[np.uint8]:
    """In its display window, or from the 0.5th to the 99.5th percentile; colours stay, other channels are averaged."""
    low, high = np.percentile(values, (0.5, 99.5)) if window is None else window
    grey = np.clip((values - low) / (high - low if high > low else 1.0), 0, 1)
    grey = grey if len(grey) == 3 else grey.mean(0, keepdims=True)
    return (255 * grey).round().astype(np.uint8)


def _png(values: NDArray[np.uint8], *, smooth: bool) -> bytes:
    picture = Image.fromarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)
    shrink = SIDE / max(picture.size)
    if shrink < 1:
        size = (max(1, round(picture.width * shrink)), max(1, round(picture.height * shrink)))
        picture = picture.resize(size, Image.Resampling.BOX if smooth else Image.Resampling.NEAREST)
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return out.getvalue()
