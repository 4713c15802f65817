"""How much the methods' maps agree: a matrix of rank correlations, those that agree side by side."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from pellucid.report.labels import width_of
from pellucid.report.style import INK, QUIET, SIGNED, canvas, house_style

SHARES = "Reds"


def clustered(rho: NDArray[np.float64]) -> list[int]:
    """An order in which alike methods are neighbours: average linkage of ``1 − ρ``; unknown pairs are unrelated."""
    if len(rho) < 3:
        return list(range(len(rho)))
    distance = 1 - np.where(np.isfinite(rho), rho, 0.0)
    distance = np.clip((distance + distance.T) / 2, 0, None)
    np.fill_diagonal(distance, 0.0)
    condensed = squareform(distance, checks=False)
    return [int(i) for i in leaves_list(optimal_leaf_ordering(linkage(condensed, "average"), condensed))]


def agreement_matrix(
    names: Sequence[str], rho: NDArray[np.float64], *, controls: Sequence[str] = (), signed: bool = True
) -> Figure:
    """Correlations in cells, blue against, white none, red alike; the scale is −1 to 1 whatever the values are.

    Args:
        names: of the methods, in the order of drawing.
        rho: ``(methods, methods)``; NaN where two were never compared.
        controls: names that are written in grey.
        signed: whether the values are correlations; else shares, on a scale from 0 to 1.
    """
    n = max(1, len(names))
    cell = 0.42 if n <= 16 else 0.34
    letters = 7.5 if n <= 16 else 6.5
    side = 0.2 + width_of(names)
    size = cell * n
    width, height = side + size + 0.75, side + size + 0.1
    with house_style():
        figure = canvas(width, height, layout="none")
        axis = figure.add_axes((side / width, 0.1 / height, size / width, size / height))
        cmap = mpl.colormaps[SIGNED if signed else SHARES].with_extremes(bad="#e8ebee")
        shown = axis.imshow(np.ma.masked_invalid(rho) if len(names) else np.ma.masked_all((1, 1)), cmap=cmap,
                            vmin=-1 if signed else 0, vmax=1, aspect="auto")  # fmt: skip
        for i in range(len(names)):
            for j in range(len(names)):
                v = float(rho[i, j])
                if i == j:
                    axis.add_patch(mpl.patches.Rectangle((j - 0.5, i - 0.5), 1, 1, color="#c9cfd6", linewidth=0))
                    continue
                text = _said(v)
                axis.text(j, i, text, ha="center", va="center", fontsize=letters,
                          color="white" if np.isfinite(v) and abs(v) > 0.65 else INK)  # fmt: skip
        axis.xaxis.tick_top()
        axis.set_xticks(range(len(names)), list(names), rotation=90)
        axis.set_yticks(range(len(names)), list(names))
        for label in (*axis.get_xticklabels(), *axis.get_yticklabels()):
            label.set(parse_math=False, color=QUIET if label.get_text() in controls else INK)
        axis.tick_params(length=0)
        axis.set_xticks(np.arange(n + 1) - 0.5, minor=True)
        axis.set_yticks(np.arange(n + 1) - 0.5, minor=True)
        axis.grid(which="minor", color="white", linewidth=1)
        axis.tick_params(which="minor", length=0)
        axis.spines[:].set_visible(False)
        tall = min(size, 2.4)
        bar = figure.add_axes(((side + size + 0.14) / width, (0.1 + size - tall) / height, 0.11 / width, tall / height))
        figure.colorbar(shown, cax=bar, ticks=[-1, -0.5, 0, 0.5, 1] if signed else [0, 0.5, 1])
        bar.tick_params(labelsize=7.5, length=2)
        bar.set_yticklabels(["−1", "−.5", "0", ".5", "1"] if signed else ["0", ".5", "1"])
        bar.spines[:].set_visible(False)
        return figure


def _said(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    text = f"{abs(value):.2f}".removeprefix("0")
    return "0" if text == ".00" else ("−" if value < 0 else "") + text
