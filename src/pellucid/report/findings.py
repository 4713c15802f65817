"""What the run found without being asked: sentences, the cases concerned, and a picture of the place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.report.figures import Stage
from pellucid.report.judge import is_control
from pellucid.report.layout import GAP, contours, draw, grid, head, size_of
from pellucid.report.numbers import is_number
from pellucid.report.shade import scale_for
from pellucid.report.style import data_uri, house_style
from pellucid.study.store import Run

SHOWN, NAMED = 3, 12  # cases with a picture; cases named
Box = tuple[tuple[int, int], ...]


def findings(run: Run, task: str, order: Sequence[str]) -> list[dict[str, Any]]:
    """The findings of a task for the page, in the table's order."""
    table = run.table("findings", task)
    found = []
    for r in table.to_dict("records"):
        cases = [c.strip() for c in str(r.get("cases") or "").split(",") if c.strip()]
        share = f"{int(r['n'])} of {int(r['of'])} cases" if is_number(r.get("n")) and is_number(r.get("of")) else ""
        found.append(
            {
                "kind": str(r.get("kind") or ""),
                "title": str(r.get("title") or ""),
                "sentence": str(r.get("sentence") or ""),
                "found": str(r.get("kind") or "") != "none",
                "note": str(r.get("note") or ""),
                "share": share if r.get("n") else "",
                "cases": cases[:NAMED],
                "further": max(0, len(cases) - NAMED),
                "picture": _picture(run, task, r, cases, order),
            }
        )
    return found


def box_of(text: Any) -> Box | None:
    """``"r0:r1,c0:c1"`` as ranges of rows and columns; None where that is not what it says."""
    if not isinstance(text, str) or not re.fullmatch(r"\s*\d+:\d+\s*(,\s*\d+:\d+\s*)+", text):
        return None
    ranges = tuple((int(a), int(b)) for a, b in (part.split(":") for part in text.split(",")))
    return ranges if all(a < b for a, b in ranges) else None


def _picture(
    run: Run, task: str, finding: dict[Any, Any], cases: Sequence[str], order: Sequence[str]
) -> dict[str, str] | None:
    box = box_of(finding.get("box"))
    if box is None:
        return None
    named = [m.strip() for m in str(finding.get("methods") or "").split(",")]
    wanted = [*named, *(m for m in order if not is_control(m))]
    known, shown = set(run.cases(task)), []
    for name in [c for c in cases if c in known]:
        case = run.case(task, name)
        maps = {a.method: a for a in run.attributions(task, name) if a.images}
        best = next((maps[m] for m in wanted if m in maps), None)
        if best is not None and inside(case.spatial, box).any():
            shown.append((case, best))
        if len(shown) == (SHOWN if len(box) == 2 else 1):
            break
    if not shown:
        return None
    methods = ", ".join(dict.fromkeys(a.method for _, a in shown))
    where = str(finding.get("zone") or "the place")
    said = f"Frame around {where} on the map of {methods} over case {', '.join(c.id for c, _ in shown)}"
    return {"uri": data_uri(box_tiles(shown, box)), "alt": said, "method": methods}


def inside(shape: Sequence[int], box: Box) -> NDArray[np.bool_]:
    """The box as a mask; empty where it is not of this shape's kind or lies beyond it."""
    mask = np.zeros(tuple(shape), dtype=bool)
    if len(box) == len(shape):
        mask[tuple(slice(a, b) for a, b in box)] = True
    return mask


def box_tiles(shown: Sequence[tuple[Case, Attribution]], box: Box) -> Figure:
    """Maps over their pictures with the box outlined; of several inputs the one with most of the map in the box."""
    cells = []
    for case, a in shown:
        mask = inside(case.spatial, box)
        name = max(a.images, key=lambda n: _mass(a, n, mask))
        middle = tuple((lo + hi) // 2 for lo, hi in box)
        stage = Stage(case, {"place": mask}, middle if len(box) == 3 else None)
        title = f"{case.id}, {name}" if len(a.images) > 1 else case.id
        for parts in zip(stage.cut_background(name), stage.cut(a.spatial(name).numpy()), stage.cut(mask)):
            cells.append((title, scale_for(a), *parts))
    with house_style():
        figure, places = grid([size_of(over) for _, _, _, over, _ in cells], rows=1, foot=GAP, bar=0)
        for (title, scale, under, over, mark), place in zip(cells, places[0]):
            axis = draw(figure, place, over, scale.over(under.values, over.values))
            head(axis, title, over, several=True)
            contours(axis, [mark], coloured=True)
        return figure


def _mass(a: Attribution, name: str, mask: NDArray[np.bool_]) -> float:
    values = np.abs(np.nan_to_num(a.spatial(name).numpy(), posinf=0.0, neginf=0.0))
    return float(values[mask].sum()) if values.shape == mask.shape else 0.0
