"""One picture, one map for each finding that the model says is there, side by side; and what it has missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.refiner import base_of
from pellucid.report.figures import Stage, input_tile, map_tile
from pellucid.report.judge import is_control
from pellucid.report.numbers import is_number, number
from pellucid.report.shade import scale_for, unit_of, warnings_of
from pellucid.report.style import data_uri
from pellucid.study.recipe import ABOVE
from pellucid.study.store import Run

MOST = 6  # findings with a map; marks of the picture
BOX = "box"


def several_of(run: Run, task: str) -> pd.DataFrame:
    """The outcomes of a task whose findings are independent and of which several are explained; else no rows."""
    table = run.table("outcomes", task)
    asked = (run.recipe(task)["explain"] or {"targets": ()})["targets"]
    if not len(table) or table["target_index"].nunique() < 2 or not (table["rule"] == "threshold").all():
        return table.head(0)
    return table if ABOVE in asked or len(asked) > 1 else table.head(0)


def most_findings(table: pd.DataFrame, ids: Sequence[str], most: int) -> list[str]:
    """Cases in which most findings are said to be there, two at least."""
    said = table[_said(table) & table["explained"].astype(bool)]
    counts = said.groupby("case").size()
    chosen = [i for i in ids if int(counts.get(i, 0)) > 1]
    return sorted(chosen, key=lambda i: -int(counts[i]))[:most]


def finding_strip(
    run: Run, case: Case, maps: Sequence[Attribution], order: Sequence[str], rows: pd.DataFrame
) -> dict[str, Any]:
    """What the page shows of all findings of a case.

    Args:
        run: names the methods' families.
        case: with a region called as a finding where someone has drawn one.
        maps: of the case.
        order: methods, the most trusted first.
        rows: of the outcomes, those of the case.

    Returns:
        ``method``; ``picture`` with the drawn findings; ``tiles`` of the findings above their threshold, the most
        probable first; ``missed`` and ``unmapped`` in words.
    """
    own = [a for a in maps if a.images and not is_control(a.method)]
    method = next((m for m in order if any(a.method == m for a in own)), own[0].method if own else "")
    by_index = {int(a.target["index"]): a for a in own if a.method == method}
    here = rows.sort_values("probability", ascending=False, kind="stable").to_dict("records")
    said = [r for r in here if r["outcome"] in ("TP", "FP") or (not r["outcome"] and _over(r))]
    family = str(run.info.get("methods", {}).get(base_of(method), {}).get("family", ""))
    mapped = [(by_index[int(r["target_index"])], r) for r in said if int(r["target_index"]) in by_index]
    tiles = [_tile(case, a, r, family) for a, r in mapped]
    missed = [r for r in here if r["outcome"] == "FN"]
    drawn = {str(r["target"]): case.region(str(r["target"])).numpy() for r in here if str(r["target"]) in case.regions}
    marks = dict(list(drawn.items())[:MOST])
    alt = f"Input {', '.join(case.images)} of case {case.id}" + (f" with boxes of {', '.join(marks)}" if marks else "")
    return {
        "method": method,
        "picture": {"uri": data_uri(input_tile(Stage(case, marks), case.images)), "alt": alt},
        "tiles": tiles[:MOST],
        "unmapped": [str(r["target"]) for r in said if int(r["target_index"]) not in by_index]
        + [t["label"] for t in tiles[MOST:]],
        "missed": [f"{r['target']} ({_numbers(r)}{_boxed(case, r)})" for r in missed],
        "said": len(said),
    }


def _tile(case: Case, a: Attribution, row: Mapping[Any, Any], family: str) -> dict[str, Any]:
    name = str(row["target"])
    marks = {BOX: case.region(name).numpy()} if name in case.regions else {}
    unit = unit_of(a, family)
    truth = {"TP": "true", "FP": "not true"}.get(str(row["outcome"]), "truth unknown")
    flags = f" Flags: {'; '.join(warnings_of(a.flags))}." if a.flags else ""
    return {
        "label": name,
        "said": _numbers(row),
        "truth": truth,
        "right": str(row["outcome"]) == "TP",
        "box": _boxed(case, row).removeprefix("; "),
        "uri": data_uri(map_tile(Stage(case, marks), a, unit=unit)),
        "alt": f"Map of {a.method} for {name}, {truth}, over {', '.join(a.images)} of case {case.id}"
        f"{' with its box' if marks else ''}; colours {scale_for(a).text}, {unit}.{flags}",
    }


def _said(table: pd.DataFrame) -> Any:
    return table["probability"].astype(float) > table["threshold"].astype(float)


def _over(row: Mapping[Any, Any]) -> bool:
    return is_number(row["threshold"]) and float(row["probability"]) > float(row["threshold"])


def _numbers(row: Mapping[Any, Any]) -> str:
    limit = f", threshold {number(row['threshold'])}" if is_number(row["threshold"]) else ""
    return f"probability {number(row['probability'])}{limit}"


def _boxed(case: Case, row: Mapping[Any, Any]) -> str:
    """Whether somebody has drawn the finding; of a finding that is not there nothing is said."""
    if str(row["target"]) in case.regions:
        return "; box outlined"
    return "; no box" if is_number(row["truth"]) and float(row["truth"]) > 0 else ""
