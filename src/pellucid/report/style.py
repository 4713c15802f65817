"""How figures look, and how they become PNG text. Agg only, nothing random, nothing dated."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from pellucid.io.files import atomic

DPI = 100
INK, QUIET, GRID = "#1b1f24", "#57606a", "#d8dee4"
# Colours that the colour-blind can tell apart (Okabe and Ito 2008); figures never rely on them alone.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FOR, AGAINST, NEUTRAL = "#b2182b", "#2166ac", "#6b7280"
STILL: Any = {"svg.hashsalt": "pellucid", "svg.fonttype": "none"}  # the same file from the same tables
SIGNED, UNSIGNED, BAD = "RdBu_r", "magma", "#8a9199"
RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.7,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=SERIES),
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.grid": False,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's settings of the report; the caller's come back at the end."""
    with mpl.rc_context(RC):
        yield


def canvas(width: float, height: float, *, dpi: int = DPI, layout: Any = "constrained") -> Figure:
    """An empty figure on the Agg canvas; ``width`` and ``height`` in inches."""
    figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def pixels(width: int, height: int) -> Figure:
    """An empty figure of so many pixels, to be laid out by hand (so that picture elements fall on whole pixels)."""
    return canvas(width / DPI, height / DPI, layout="none")


def png(figure: Figure, *, colours: int | None = 255) -> bytes:
    """The figure as PNG; ``colours`` puts it on a palette, which halves the file and is not seen."""
    surface = FigureCanvasAgg(figure)
    with house_style():
        surface.draw()  # once; savefig would draw twice
    picture = Image.fromarray(np.asarray(surface.buffer_rgba())[..., :3])
    if colours is not None:
        # Maximum coverage keeps the rare colours of the bar; the commonest-first palette would band it.
        picture = picture.quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    out = io.BytesIO()
    picture.save(out, format="PNG", optimize=True)
    return out.getvalue()


def data_uri(figure: Figure, *, colours: int | None = 255) -> str:
    """The figure as ``data:image/png;base64,…``, to be put into a page."""
    return "data:image/png;base64," + base64.b64encode(png(figure, colours=colours)).decode("ascii")


def write_figure(figure: Figure, base: Path, *, colours: int | None = 255) -> list[Path]:
    """Write ``base.png`` and ``base.svg``; from the same figure, the same files. ``colours``: see :func:`png`."""
    paths = [base.with_name(f"{base.name}.{ending}") for ending in ("png", "svg")]
    with atomic(paths[0]) as temporary:
        temporary.write_bytes(png(figure, colours=colours))
    with atomic(paths[1]) as temporary, mpl.rc_context({**RC, **STILL}):
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    return paths
