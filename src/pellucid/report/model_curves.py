"""ROC and precision-recall curves of a classifier on the page, the classes with most cases first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pellucid.report.curve_figure import Curve, curve_pairs
from pellucid.report.numbers import DASH, interval, is_number, number
from pellucid.report.pieces import Panel, listed, panel, picture
from pellucid.study.store import Run

MOST = 6  # classes in a picture


def curve_panels(run: Run, task: str) -> list[Panel]:
    """The curves of the part that is a test of the model, where the run has any."""
    roc, pr = run.table("roc", task), run.table("pr", task)
    if not len(roc):
        return []
    part = next((p for p in dict.fromkeys(roc["part"]) if p != "val"), str(roc["part"].iloc[0]))
    roc, pr = roc[roc["part"] == part], pr[pr["part"] == part]
    drawn = roc[roc["point"] == "curve"]
    sizes = drawn.drop_duplicates("class").set_index("class")["positives"]
    order = [str(c) for c in sizes.sort_values(ascending=False, kind="stable").index]
    none = roc[roc["point"] == "none"]
    without = [f"{r['class']} ({r['reason']})" for r in none.to_dict("records")]
    if not order:
        return [panel("ROC and precision-recall curves", f"none: {listed(without, 20)}.")]
    notes = [
        f"{part}. Bands: pointwise 95 % over patients, of the curve at each place; a whole curve leaves its band more "
        "often than in 5 of 100. The dot is where the model’s own answers lie: by its thresholds, or the most probable "
        "of exclusive classes. Dotted: chance, in the lower panels the share of the cases that have the class."
    ]
    if without:
        notes.append(f"No curve: {listed(without, 20)}.")
    found = []
    for k in range(0, len(order), MOST):
        own = order[k : k + MOST]
        classes = [_class(run, task, part, c, roc[roc["class"] == c], pr[pr["class"] == c]) for c in own]
        alt = "ROC and precision-recall curves. " + "; ".join(
            f"{c}: {a.said}; {b.said}".replace("\n", " ") for c, a, b in classes
        )
        title = "ROC and precision-recall curves" + (f", {listed(own, 2)}" if k else "")
        found.append(
            panel(title, _line(classes), picture=picture(curve_pairs(classes), alt), notes=notes if not k else [])
        )
    return found


def _class(run: Run, task: str, part: str, of: str, roc: pd.DataFrame, pr: pd.DataFrame) -> tuple[str, Curve, Curve]:
    table = run.table("performance", task)
    own = table[(table["part"] == part) & (table["stratum"] == "all") & (table["class"] == of)]
    by: dict[str, Any] = {str(r["metric"]): r for r in own.to_dict("records")}
    size = f"{number(int(roc['positives'].iloc[0]))} of {number(int(roc['n'].iloc[0]))} cases"
    level = float(pr["prevalence"].iloc[0])
    one = _curve(roc, "fpr", "tpr", f"AUROC {_value(by.get('auroc'))}\n{size}")
    return of, one, _curve(pr, "recall", "precision", f"AUPRC {_value(by.get('auprc'))}", level)


def _curve(table: pd.DataFrame, x: str, y: str, said: str, level: float | None = None) -> Curve:
    curve = table[table["point"] == "curve"]
    answers: Sequence[Any] = table[table["point"] == "answer"].to_dict("records")
    marks = [(float(a[x]), float(a[y])) for a in answers if is_number(a[x]) and is_number(a[y])]
    along, up, low, high = (curve[c].to_numpy(float) for c in (x, y, "low", "high"))
    return Curve(along, up, low, high, said, marks[0] if marks else None, level)


def _value(row: Any) -> str:
    return DASH if row is None else f"{number(row['value'])} {interval(row['low'], row['high'])}".strip()


def _line(classes: Sequence[tuple[str, Curve, Curve]]) -> str:
    first = [f"{c} {roc.said.splitlines()[0]}" for c, roc, _ in classes]
    return f"{listed(first, 3)}."
