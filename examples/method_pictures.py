"""Draw for each method what it shows and how it misleads: docs/pictures/NAME.png.

    python examples/method_pictures.py [--only saliency,lime] [--out docs/pictures]

All maps are computed, on models that are written down (toy_models.py), so that the right answer is known. Each map has
its own colour bar in its own units; signed maps diverge around zero; the orange outline is what the score depends on.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from method_cases import PICTURES, Half, Shown

from pellucid.report.style import AGAINST, FOR, INK, QUIET, SIGNED, UNSIGNED, canvas, house_style, png

for _family in ("gradient", "cam", "perturbation", "shapley", "attention", "control"):
    importlib.import_module(f"method_cases_{_family}")

DPI, WIDTH, TEXT = 150, 7.0, 7.5
MARGIN, GUTTER, GAP = 0.06, 0.22, 0.07  # inches: at the border, between the halves, between panels
HEAD, TITLE, BAR, LINE = 0.29, 0.115, 0.22, 0.135  # heights: headline, a line of a title, colour bars, a line of text
HEADLINES = (("What it shows", AGAINST), ("How it misleads", FOR))
ORANGE = "#ff8c1a"


def number(v: float) -> str:
    """Short, for a colour bar."""
    text = f"{v:.2g}"
    return text.replace("e-0", "e-").replace("e+0", "e").replace("-", "−")


def wrap(text: str, width: float) -> list[str]:
    """Lines of at most ``width`` inches, as the text will be drawn, all about as long."""
    widest = _wrap(text, width)
    narrower = (_wrap(text, width * share) for share in (0.7, 0.75, 0.8, 0.85, 0.9, 0.95))
    return next((lines for lines in narrower if len(lines) == len(widest)), widest)


def _wrap(text: str, width: float) -> list[str]:
    renderer = FigureCanvasAgg(Figure(dpi=DPI)).get_renderer()
    font = FontProperties(size=TEXT)
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and renderer.get_text_width_height_descent(longer, font, False)[0] <= width * DPI:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def draw_panel(figure: Figure, shown: Shown, truth: np.ndarray, box: tuple[float, float, float]) -> None:
    """A panel with its title above and its colour bar below; ``box`` is left, bottom, side in inches."""
    left, bottom, side = box
    high = figure.get_figheight()
    axis = figure.add_axes((left / WIDTH, bottom / high, side / WIDTH, side / high))
    values = shown.values
    if shown.grey:
        drawn = axis.imshow(values, cmap="gray", vmin=0, vmax=1)
    else:
        least, most = float(values.min()), float(values.max())
        top = shown.top or max(most, -least) or 1.0
        drawn = axis.imshow(values, cmap=SIGNED if least < 0 else UNSIGNED, vmin=-top if least < 0 else 0, vmax=top)
    if shown.outline:
        dark = shown.grey or float(values.min()) >= 0
        axis.contour(truth.astype(float), levels=[0.5], colors=ORANGE if dark else "#c85a00", linewidths=0.9)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(visible=True, linewidth=0.5)
    if not values.any():
        axis.set_xlabel("zero everywhere", fontsize=6.5, color=QUIET, labelpad=2.5)
    axis.set_title(shown.title, fontsize=7, pad=2.5, linespacing=1.05)
    if shown.grey or not values.any():
        return
    bar_axis = figure.add_axes(
        ((left + 0.04 * side) / WIDTH, (bottom - 0.085) / high, 0.92 * side / WIDTH, 0.05 / high)
    )
    bar = figure.colorbar(drawn, cax=bar_axis, orientation="horizontal")
    low, top = drawn.get_clim()
    bar.set_ticks([low, top] if low == 0 else [low, 0, top])
    bar.set_ticklabels([number(v) for v in bar.get_ticks()])
    bar.outline.set_visible(False)
    bar_axis.tick_params(labelsize=6, length=1.5, width=0.5, pad=1)
    for label, place in zip(bar_axis.get_xticklabels(), ("left", "right") if low == 0 else ("left", "center", "right")):
        label.set_horizontalalignment(place)


def draw(halves: tuple[Half, Half]) -> Figure:
    """The whole picture."""
    counts = [len(h.shown) for h in halves]
    side = (WIDTH - 2 * MARGIN - GUTTER - GAP * (sum(counts) - 2)) / sum(counts)
    side = min(side, 1.5)
    widths = [n * side + (n - 1) * GAP for n in counts]
    rest = WIDTH - 2 * MARGIN - GUTTER - sum(widths)
    wrapped = [wrap(h.text, w + rest / 2) for h, w in zip(halves, widths)]
    lines = max(map(len, wrapped))
    titles = TITLE * max(p.title.count("\n") + 1 for h in halves for p in h.shown) + 0.03
    high = HEAD + titles + side + BAR + lines * LINE + 0.08
    figure = canvas(WIDTH, high, dpi=DPI, layout="none")
    left = MARGIN
    for half, width, text, (headline, colour) in zip(halves, widths, wrapped, HEADLINES):
        room = width + rest / 2
        figure.text(left / WIDTH, 1 - 0.04 / high, headline, fontsize=9, weight="bold", color=colour, va="top")
        line = Rectangle((left / WIDTH, 1 - 0.225 / high), room / WIDTH, 0.012 / high, color=colour, lw=0)
        figure.add_artist(line)
        for i, shown in enumerate(half.shown):
            spot = left + rest / 4 + i * (side + GAP)
            draw_panel(figure, shown, half.truth, (spot, high - HEAD - titles - side, side))
        bottom = high - HEAD - titles - side - BAR
        figure.text(
            left / WIDTH, bottom / high, "\n".join(text), fontsize=TEXT, color=INK, va="top", linespacing=1.2
        )
        left += room + GUTTER
    middle = (MARGIN + widths[0] + rest / 2 + GUTTER / 2) / WIDTH
    figure.add_artist(Rectangle((middle, 0.03), 0.004 / WIDTH, 0.94, color=QUIET, alpha=0.5, lw=0))
    return figure


def untrue(halves: tuple[Half, Half]) -> list[str]:
    """The sentences that the numbers do not bear out."""
    return [half.text for half in halves if not half.fact]


def main(arguments: Any = None) -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="names of methods, with commas between; all by default")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "pictures")
    chosen = parser.parse_args(arguments)
    names = [n for n in chosen.only.split(",") if n] or list(PICTURES)
    for name in names:
        if name not in PICTURES:
            raise SystemExit(f"no picture of {name!r}; there are: {', '.join(PICTURES)}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    for name in names:
        start = time.perf_counter()
        with house_style():
            halves = PICTURES[name]()
            data = png(draw(halves))
        unfinished = chosen.out / f".{name}.png"
        unfinished.write_bytes(data)
        unfinished.replace(chosen.out / f"{name}.png")
        wrong += [f"{name}: {text}" for text in untrue(halves)]
        print(f"{name:22} {len(data) / 1024:5.0f} kB {time.perf_counter() - start:5.1f} s", file=sys.stderr)
    if wrong:
        raise SystemExit("the numbers are not what these sentences say:\n" + "\n".join(wrong))


if __name__ == "__main__":
    main()
