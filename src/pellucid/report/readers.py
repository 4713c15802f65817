"""What readers say of the maps, from the tables that ``pellucid study-read`` leaves."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pellucid.report.charts import Bar
from pellucid.report.likert import SCALE, Rated, likert
from pellucid.report.numbers import interval, is_number, number, p_value
from pellucid.report.pieces import Panel, count, listed, panel, picture
from pellucid.study.store import Run

MEASURES = {"alpha": "Krippendorff’s α", "icc_2_1": "ICC(2,1)", "icc_2_k": "ICC(2,k)"}


def readers_panel(run: Run, task: str) -> Panel | None:
    """Ratings by method, the methods against each other, agreement, and the metrics; None if nobody was asked."""
    table = run.table("readers", task)
    if not len(table):
        return None
    items = [str(i) for i in dict.fromkeys(table["item"])]
    first = table[table["item"] == items[0]].sort_values(["control", "mean"], ascending=[True, False], kind="stable")
    order = [str(m) for m in first["method"]]
    by: dict[tuple[str, str], Any] = {(str(r["item"]), str(r["method"])): r for r in table.to_dict("records")}
    panels = {i: [_rated(by[i, m]) for m in order] for i in items}
    alt = "Mean ratings from 1 to 5: " + "; ".join(
        f"{i}: " + ", ".join(f"{r.mean.name} {number(r.mean.value)}" for r in rated) for i, rated in panels.items()
    )
    pairs, agreement, metrics = (run.table(f"readers_{n}", task) for n in ("pairs", "agreement", "metrics"))
    more = [("Agreement", _agreement(agreement))] if len(agreement) else []
    more += [("Two methods, compared", _pairs(pairs))] if len(pairs) else []
    more += [("Readers and metrics", _metrics(metrics, items))] if len(metrics) else []
    return panel(
        "What readers say", _line(table), picture=picture(likert(panels), alt),
        points=[*_between(agreement), *_told(pairs, items), *_follows(metrics)], notes=_notes(table),
        table={"head": ["method", *items], "rows": [_row(m, [by[i, m] for i in items]) for m in order]}, more=more,
    )  # fmt: skip


def _line(table: pd.DataFrame) -> str:
    readers, maps = int(table["readers"].max()), int(table.groupby("item")["maps"].sum().max())
    patients = count(table["groups"].max(), "patient")
    said = f"{count(readers, 'reader')}, blinded, rated {count(maps, 'map')} of {patients}."
    left = str(table["unfinished"].iloc[0]) if "unfinished" in table else ""
    return said + (f" Unfinished: {left}." if left else "")


def _rated(row: dict[str, Any]) -> Rated:
    counts = tuple(int(row[f"rated_{v}"]) for v in range(1, len(SCALE) + 1))
    both = is_number(row["low"]) and is_number(row["high"])
    low, high = (float(row["low"]), float(row["high"])) if both else (None, None)
    return Rated(counts, Bar(str(row["method"]), float(row["mean"]), low, high, bool(row["control"])))


def _row(method: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    cells = [
        {"text": number(r["mean"]), "small": interval(r["low"], r["high"]), "why": str(r["note"])}
        for r in rows
    ]
    return {"name": method, "control": bool(rows[0]["control"]), "cells": cells}


def _between(table: pd.DataFrame) -> list[str]:
    """Agreement between readers in one sentence, by alpha."""
    own = table[table["measure"] == "alpha"] if len(table) else table
    if not len(own):
        return []
    known = own[own["value"].notna()]
    if not len(known):
        return [f"Agreement between readers: {own['note'].iloc[0]}."]
    said = ", ".join(f"{r['item']} {_with_ends(r)}" for r in known.to_dict("records"))
    rest = "".join(f" {r['item'].capitalize()}: {r['note']}." for r in own[own["value"].isna()].to_dict("records"))
    return [f"Agreement between readers, Krippendorff’s α: {said}. Krippendorff asks for 0.8, and for 0.667 where "
            f"tentative conclusions are enough.{rest}"]  # fmt: skip


def _told(table: pd.DataFrame, items: list[str]) -> list[str]:
    """Which methods are rated higher than a control, and which pairs are told apart."""
    if not len(table):
        return []
    if not table["word"].isin(["a higher", "b higher"]).any():
        return [f"No two methods are told apart in any of the items.{_power(table)}"]
    found = []
    for item in items:
        own = table[table["item"] == item]
        sure = own[own["word"].isin(["a higher", "b higher"])]
        said = [
            f"{a} over {b}" for a, b in ((r["a"], r["b"]) if r["word"] == "a higher" else (r["b"], r["a"])
                                         for r in sure.to_dict("records"))
        ]  # fmt: skip
        found.append(f"{item.capitalize()}: {listed(said, 8) if said else 'no two methods are told apart'}.")
    return found


def _power(table: pd.DataFrame) -> str:
    """A sentence where so few patients could not tell so many pairs apart, whatever they say."""
    patients, many = int(table["groups"].max()), int(table.groupby("item").size().max())
    if many * 2.0 ** (1 - patients) < 0.05:
        return ""
    said = f"With {count(patients, 'patient')} and {count(many, 'pair')} of methods"
    return f" {said} no corrected p can be under 0.05, whatever readers say: look at the intervals."


def _follows(table: pd.DataFrame) -> list[str]:
    """Which metrics go with the ratings after correction."""
    if not len(table):
        return []
    tested = table[table["p"].notna()]
    if not len(tested):
        return [f"Ratings and metrics: {table['note'].iloc[0] or 'no test'}."]
    sure = tested[tested["p"] < 0.05]
    against = (sure["rho"] < 0) == (sure["direction"] == "higher")
    said = [f"{r['metric']} with {r['item']} (ρ {number(r['rho'])})" for r in sure[~against].to_dict("records")]
    other = [f"{r['metric']} with {r['item']} (ρ {number(r['rho'])})" for r in sure[against].to_dict("records")]
    return [
        f"Metrics that rank maps as readers do: {listed(said, 8) or 'none is shown to'}."
        + (f" The other way round: {listed(other, 8)}." if other else "")
    ]


def _with_ends(row: Any) -> str:
    return f"{number(row['value'])} {interval(row['low'], row['high'])}".strip()


def _agreement(table: pd.DataFrame) -> dict[str, Any]:
    rows = []
    items = [str(i) for i in dict.fromkeys(table["item"])]
    names = [(m, "", title) for m, title in MEASURES.items()]
    for reader in [r for r in dict.fromkeys(table["reader"]) if r]:
        who = "all readers" if reader == "all" else f"reader {reader}"
        names += [("kappa", reader, f"{who}, twice: weighted κ"), ("exact", reader, f"{who}, twice: equal ratings")]
    for measure, reader, title in names:
        own = table[(table["measure"] == measure) & (table["reader"] == reader)].set_index("item")
        cells = []
        for item in items:
            r = own.loc[item].to_dict()
            small = f"{interval(r['low'], r['high'])} {count(r['maps'], 'map')}".strip()
            cells.append({"text": number(r["value"]), "small": small, "why": str(r["note"])})
        rows.append({"name": title, "control": False, "cells": cells})
    return {"head": ["measure", *items], "rows": rows}


def _tested(row: dict[Any, Any], column: str) -> dict[str, str]:
    """A cell: the number, its interval and p beneath, and what is to be said of it."""
    p = p_value(float(row["p"])) if is_number(row["p"]) else ""
    small = f"{interval(row['low'], row['high'])} {p}".strip()
    return {"text": number(row[column]), "small": small, "why": str(row["note"])}


def _pairs(table: pd.DataFrame) -> dict[str, Any]:
    items = [str(i) for i in dict.fromkeys(table["item"])]
    rows = []
    for (a, b), own in table.groupby(["a", "b"], sort=False):
        by = own.set_index("item")
        cells = [_tested(by.loc[item].to_dict(), "difference") for item in items]
        rows.append({"name": f"{a} minus {b}", "control": False, "cells": cells})
    return {"head": ["methods", *items], "rows": rows}


def _metrics(table: pd.DataFrame, items: list[str]) -> dict[str, Any]:
    arrows = {"higher": "↑", "lower": "↓"}
    rows = []
    for metric, own in table.groupby("metric", sort=False):
        by = own.set_index("item")
        cells = [_tested(by.loc[item].to_dict(), "rho") for item in items]
        name = f"{str(metric).replace('_', ' ')} {arrows.get(str(own['direction'].iloc[0]), '')}".strip()
        rows.append({"name": name, "control": False, "cells": cells})
    return {"head": ["ρ with", *items], "rows": rows}


def _notes(table: pd.DataFrame) -> list[str]:
    said = " ".join(f"{str(r['item']).capitalize()}: “{r['statement']}”" for r in
                    table.drop_duplicates("item").to_dict("records"))  # fmt: skip
    drawn = ", ".join(sorted({str(d) for d in table["drawn"]}))
    return [
        f"{said} Attributes after CLIX-M (brankovic2025clinician), the statements are ours; 1 strongly disagree, 5 "
        f"strongly agree. Intervals: 95 %, drawn over {drawn}; of agreement and of metrics over patients. Two methods: "
        "the same case and reader, Wilcoxon’s test over patients, corrected over the pairs of an item (Holm). Controls "
        "are left out of the correlation with metrics."
    ]
