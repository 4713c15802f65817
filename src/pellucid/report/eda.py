"""What the data are like: what stands out in sentences, the figures folded."""

from __future__ import annotations

from typing import Any

from pellucid.report.eda_labels import label_panels, pair_panels
from pellucid.report.eda_people import association_panels, people_panels
from pellucid.report.eda_pictures import histogram_panels, montage_panels
from pellucid.report.eda_regions import region_panels
from pellucid.report.eda_tables import score_panels, table_panels
from pellucid.report.pieces import Panel, panel
from pellucid.study.store import Run


def eda_panel(run: Run, task: str) -> dict[str, Any] | None:
    """The card of the data: ``warnings`` and ``points`` in sentences, and the ``folds``; None where not described."""
    notes = run.table("eda_notes", task)
    if not len(notes):
        return None
    rows = notes.to_dict("records")
    return {
        "line": next((str(r["sentence"]) for r in rows if r["kind"] == "cases"), ""),
        "warnings": [str(r["sentence"]) for r in rows if r["found"]],
        "points": [str(r["sentence"]) for r in rows if not r["found"] and r["kind"] != "cases"],
        "folds": [
            *label_panels(run, task), *score_panels(run, task), *pair_panels(run, task), *association_panels(run, task),
            *people_panels(run, task), *table_panels(run, task), *montage_panels(run, task),
            *histogram_panels(run, task), *region_panels(run, task), *_looked_for(run, task),
        ],
    }  # fmt: skip


def _looked_for(run: Run, task: str) -> list[Panel]:
    """Everything that was looked for, found or not."""
    table = run.table("eda_checks", task)
    if not len(table):
        return []
    n = int(table["found"].sum())
    line = f"{len(table)} things, {n} found" if n else f"{len(table)} things, none found"
    return [panel("What was looked for", line, points=[str(s) for s in table["sentence"]])]
