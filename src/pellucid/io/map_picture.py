"""One map as a PNG with its colour bar. Scaling happens here, in the picture, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pellucid.core.attribution import Attribution
from pellucid.io.files import atomic

_TOP = 99.5  # per cent of the magnitudes that the scale covers; the bar's ends become arrows where it clips


def draw_map(values: NDArray[Any], attribution: Attribution, name: str, path: Path) -> None:
    """Draw a picture's map, three planes through the peak of a volume's, or signed bars for a table.

    Signed maps: blue (against) through white at zero to red (for), symmetrical. Others: dark at zero to bright.

    Args:
        values: ``(H, W)``, a volume ``(X, Y, Z)`` or ``(F,)``.
        attribution: whose map it is.
        name: of the input.
        path: the PNG.
    """
    planes = _planes(values, attribution)
    heights = [h / w for _, _, (h, w) in planes]
    figure = Figure(figsize=(0.6 + 3.4 * len(planes) + 0.9, 0.75 + 3.4 * max(heights)), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    title = f"{attribution.method}, {name}"
    label = attribution.target.get("label")
    figure.suptitle(title if label is None else f"{title}: {label}", fontsize=10)
    if values.ndim == 1:
        axis = figure.subplots()
        axis.barh(np.arange(len(values)), values, color=np.where(values < 0, "#2166ac", "#b2182b"))
        axis.axvline(0, color="0.4", linewidth=0.8)
        axis.set(xlabel="attribution", ylabel="feature", yticks=np.arange(len(values)))
        axis.invert_yaxis()
    else:
        _draw_planes(figure, planes, values, signed=attribution.signed)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", facecolor="white")


def _draw_planes(figure: Figure, planes: list[Any], values: NDArray[Any], *, signed: bool) -> None:
    finite = np.abs(values[np.isfinite(values)]) if signed else values[np.isfinite(values)]
    top = float(np.percentile(finite, _TOP)) if finite.size else 0.0
    most = float(finite.max()) if finite.size else 0.0
    top = top if top > 0 else most if most > 0 else 1.0
    low = -top if signed else min(0.0, float(finite.min()) if finite.size else 0.0)
    clipped = bool(most > top)
    axes = np.atleast_1d(figure.subplots(1, len(planes)))
    drawn: Any = None
    for axis, (picture, title, (h, w)) in zip(axes, planes):
        drawn = axis.imshow(
            picture, cmap="RdBu_r" if signed else "magma", vmin=low, vmax=top, interpolation="nearest",
            aspect=(h / w) * picture.shape[1] / picture.shape[0],
        )  # fmt: skip
        axis.set(xticks=[], yticks=[])
        for text, x, side in zip(title, (0.5, 0.0, 1.0), ("center", "left", "right")):
            axis.text(x, 1.02, text, fontsize=9, ha=side, va="bottom", transform=axis.transAxes)
    extend = ("both" if signed else "max") if clipped else "neither"
    bar = figure.colorbar(drawn, ax=list(axes), extend=extend, shrink=0.85, pad=0.02)
    bar.set_label("against   ←   0   →   for" if signed else "attribution (magnitude)", fontsize=8)
    bar.ax.tick_params(labelsize=8)


def _planes(
    values: NDArray[Any], attribution: Attribution
) -> list[tuple[NDArray[Any], tuple[str, ...], tuple[float, float]]]:
    """Each plane to draw; its title and what is at its left and right; its height and width in millimetres."""
    if values.ndim == 1:
        return [(values, (), (min(1.6, 0.35 + 0.09 * len(values)), 1.0))]
    spacing = attribution.spacing if attribution.spacing is not None else (1.0,) * values.ndim
    if values.ndim == 2:
        return [(values, (), (values.shape[0] * spacing[0], values.shape[1] * spacing[1]))]
    if attribution.geometry is not None:
        values, geometry = attribution.geometry.reoriented(values, "LAS")  # seen from the front and from the feet
        spacing, names = geometry.spacing, ("sagittal", "coronal", "axial")
    else:
        names = ("first axis", "second axis", "third axis")
    sides = (("P", "A"), ("R", "L"), ("R", "L")) if attribution.geometry is not None else (("", ""),) * 3
    peak = np.unravel_index(int(np.nanargmax(np.abs(values))) if np.isfinite(values).any() else 0, values.shape)
    planes: list[tuple[NDArray[Any], tuple[str, ...], tuple[float, float]]] = []
    for axis, name in enumerate(names):
        across, up = [a for a in range(3) if a != axis]
        # Patient upright (or anterior) at the top: the second remaining axis grows upwards.
        picture = np.take(values, peak[axis], axis=axis).T[::-1]
        size = (values.shape[up] * spacing[up], values.shape[across] * spacing[across])
        planes.append((picture, (name, *sides[axis]), size))
    return planes
