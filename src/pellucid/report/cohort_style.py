"""What the figures of a cohort share: colours of the body's systems, names as they are read, a legend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pellucid.aggregate.systems import SYSTEMS, system_of
from pellucid.report.style import GRID, INK, QUIET

# After Okabe and Ito, dark enough for letters; the names beside them say the same.
COLOURS = dict(
    zip(SYSTEMS, ("#d55e00", "#0072b2", "#7a4a1e", "#a87400", "#008a64", "#5e4fa2", "#b0568a", "#3d4248", "#9aa2ab",
                  "#6b7280"))
)  # fmt: skip


def shown(name: str) -> str:
    """A class as it is read: blanks for underscores."""
    return name.replace("_", " ")


def colour_of(name: str, systems: Mapping[str, str] | None = None) -> str:
    """The colour of a class's system; ``systems`` (class to system) goes before the names that are known."""
    return COLOURS.get(system_of(name, extra=systems), COLOURS["other"])


def by_system(names: Iterable[str], systems: Mapping[str, str] | None = None) -> list[str]:
    """Names in the order of their systems, otherwise as they come."""
    place = {s: k for k, s in enumerate(SYSTEMS)}
    return sorted(names, key=lambda n: place.get(system_of(n, extra=systems), len(place)))


def patches(names: Sequence[str], systems: Mapping[str, str] | None = None) -> list[Patch]:
    """One legend entry for each system among the names."""
    there = {system_of(n, extra=systems) for n in names}
    return [Patch(color=COLOURS.get(s, COLOURS["other"]), label=s) for s in [*SYSTEMS, *sorted(there - set(SYSTEMS))]
            if s in there]  # fmt: skip


def legend(figure: Figure, handles: Sequence[Patch], *, right: float, top: float, title: str = "") -> None:
    """A legend whose upper left corner is at ``right`` and ``top``, in parts of the figure."""
    box = figure.legend(handles=list(handles), loc="upper left", bbox_to_anchor=(right, top), borderaxespad=0,
                        handlelength=1.0, handleheight=0.9, title=title or None, title_fontsize=8,
                        alignment="left")  # fmt: skip
    for text in box.get_texts():
        text.set_color(INK)


def named_rows(axis: Axes, names: Sequence[str], *, own: str | None = None,
               systems: Mapping[str, str] | None = None) -> None:  # fmt: skip
    """Names at the left of rows 0, 1, … from the top, in the colours of their systems, ``own`` in bold."""
    axis.set_yticks(range(len(names)), [shown(n) for n in names])
    for label, name in zip(axis.get_yticklabels(), names):
        label.set(parse_math=False, color=colour_of(name, systems), fontweight="bold" if name == own else "normal")
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.set_axisbelow(True)
    axis.grid(axis="x", color=GRID, linewidth=0.6)
    axis.spines["left"].set_visible(False)
    axis.spines["bottom"].set_color(QUIET)
