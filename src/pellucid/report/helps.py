"""Does the mask help? Masked maps beside the maps they were made from, and beside random maps through that mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pellucid.report.charts import Bar
from pellucid.report.dots import level_dots
from pellucid.report.judge import FEWEST, RANKED, question_of
from pellucid.report.numbers import interval, is_number, number, p_value
from pellucid.report.pieces import Panel, count, panel, picture
from pellucid.report.score_tables import ARROWS
from pellucid.study.store import Run

PLAIN, MASKED = "the whole map", "through the mask"
HELPS, NO_MORE = "helps", "helps no more than it helps a random map"
MOST = 3  # measures in the picture
CHANCE = "random"


def helps_panels(run: Run, task: str, order: Sequence[str]) -> list[Panel]:
    """One panel for each refiner: a sentence per measure, the means of both maps, and the numbers."""
    table = run.table("refined", task)
    if not len(table):
        return []
    metrics = run.info.get("metrics", {})
    return [_panel(str(by), own, order, metrics) for by, own in table.groupby("by", sort=False)]


def _panel(by: str, own: pd.DataFrame, order: Sequence[str], metrics: dict[str, Any]) -> Panel:
    names = _measures(own, metrics)
    rank = {m: i for i, m in enumerate(order)}
    methods = sorted(dict.fromkeys(own["method"].astype(str)), key=lambda m: (m in _controls(own), rank.get(m, 99)))
    rows = {(str(r["metric"]), str(r["method"])): r for r in own.to_dict("records")}
    few = int(own["groups"].max()) if len(own) else 0
    said = [_sentence(own[own["metric"] == m], m) for m in names]
    line = (
        f"only {count(few, 'patient')}: too few to say." if few < FEWEST else _line(own[own["metric"].isin(names)])
    )
    notes = [
        "Paired differences of the same cases, with 95 % bootstrap intervals over patients; “helps” and “costs”: the "
        "interval excludes zero. A mask around what is compared with raises any map’s overlap with it, a random one’s: "
        "so a method is credited with what it gains beyond the random map’s gain, and a masked map has to beat "
        "a masked random map. Not corrected for the number of measures; p is Holm-corrected over the methods of one.",
        *_absent(own, names),
    ]
    pictured = _pictured(names, metrics)
    shown = [m for m in methods if any(is_number(rows.get((n, m), {}).get("mean")) for n in pictured)]
    figure = None
    if pictured and shown:
        titles = {n: _title(n, rows, methods) for n in pictured}
        bars = {
            titles[n]: {PLAIN: [_bar(rows.get((n, m)), m, "plain") for m in shown],
                        MASKED: [_bar(rows.get((n, m)), m, "") for m in shown]} for n in pictured
        }  # fmt: skip
        chance = {titles[n]: rows.get((n, CHANCE), {}).get("mean") for n in pictured}
        line_at = {t: float(v) for t, v in chance.items() if v is not None and is_number(v)}
        alt = "Means of the whole map and of the masked one: " + "; ".join(
            f"{t}: "
            + ", ".join(f"{a.name} {number(a.value)}, masked {number(b.value)}" for a, b in zip(*both.values()))
            for t, both in bars.items()
        )
        figure = picture(
            level_dots(bars, controls=_controls(own), lines=line_at, line_name="random, masked"), alt
        )
    parts = [names[k : k + 2] for k in range(0, len(names), 2)]
    tables = [_table(rows, part, methods) for part in parts]
    title = "Does the mask help?" if by == "segx" else f"Does refining help? {by}"
    return panel(title, line, points=said, picture=figure, notes=notes, table=tables[0] if tables else None,
                 more=[(" and ".join(p).replace("_", " "), t) for p, t in zip(parts[1:], tables[1:])])  # fmt: skip


def _measures(own: pd.DataFrame, metrics: dict[str, Any]) -> list[str]:
    """Measures with a better side that have a number, plausibility and faithfulness first; certainty reads the map as
    it was."""
    told = own[own["difference"].notna() & (own["direction"] != "none")]
    names = [str(m) for m in dict.fromkeys(told["metric"])]
    names = [m for m in names if question_of(m, metrics) not in ("certainty", "cost")]
    first = ("plausibility", "faithfulness")
    place = {m: first.index(q) if (q := question_of(m, metrics)) in first else len(first) for m in names}
    return sorted(names, key=lambda m: place[m])


def _pictured(names: Sequence[str], metrics: dict[str, Any]) -> list[str]:
    """Two measures of plausibility and one of faithfulness, where they are there."""
    by = {q: [n for n in names if question_of(n, metrics) == q] for q in RANKED}
    chosen = [*by["plausibility"][:2], *by["faithfulness"][:1]]
    return chosen + [n for n in names if n not in chosen][: MOST - len(chosen)]


def _line(told: pd.DataFrame) -> str:
    """The summary's line: in how many pairs of measure and method masking helps, and beyond the control."""
    own = told[~told["control"].astype(bool) & (told["word"] != "undefined")]
    if not len(own):
        return "nothing could be compared."
    lifted = own["word"].isin([HELPS, NO_MORE])
    beyond = int((own["word"] == HELPS).sum()) if own["beyond"].notna().any() else None
    text = f"in {int(lifted.sum())} of {count(len(own), 'pair')} of measure and method it helps"
    text += f", in {beyond} of these more than it helps a random map" if beyond is not None else ""
    cost = int((own["word"] == "costs").sum())
    return text + (f"; in {cost} it costs." if cost else ".")


def _sentence(own: pd.DataFrame, metric: str) -> str:
    """One measure in words, made from its numbers."""
    head = f"{metric.replace('_', ' ')} {ARROWS.get(str(own['direction'].iloc[0]), '')}".strip()
    methods = own[~own["control"].astype(bool) & (own["word"] != "undefined")]
    if not len(methods):
        return f"{head}: nothing is claimed ({next((n for n in own['note'] if n), 'no method was compared')})."
    helped, cost = methods[methods["word"].isin([HELPS, NO_MORE])], methods[methods["word"] == "costs"]
    parts = [f"masking helps {_of(helped, methods)}" + (f" and costs {_of(cost, methods)}" if len(cost) else "")]
    chance = own[own["method"] == CHANCE]
    if len(chance) and is_number(chance["difference"].iloc[0]):
        r = chance.iloc[0]
        ends = interval(r["difference_low"], r["difference_high"])
        parts.append(f"a random map changes by {_signed(r['difference'])} {ends}")
        if len(helped):
            beyond = methods[methods["word"] == HELPS]
            parts.append(_more(beyond, helped))
        fair = methods[methods["fair"] == "better"]
        are = "is" if len(fair) == 1 else "are"
        parts.append(f"masked, {_of(fair, methods)} {are} better than the masked random map")
    return f"{head}: " + "; ".join(parts) + "."


def _more(beyond: pd.DataFrame, helped: pd.DataFrame) -> str:
    if len(helped) == 1:
        return "the one helped gains " + ("more" if len(beyond) else "no more than that")
    if len(beyond) == len(helped):
        return f"all {len(helped)} that it helps gain more"
    who = f"{len(beyond)} of the {len(helped)}" if len(beyond) else "none"
    named = f" ({', '.join(beyond['method'])})" if 0 < len(beyond) <= 3 else ""
    return f"{who} that it helps{named} {'gain' if len(beyond) > 1 else 'gains'} more"


def _of(some: pd.DataFrame, all_: pd.DataFrame) -> str:
    """``2 of 4 methods (saliency, grad_cam)``; names only of some that are few and not all."""
    named = f" ({', '.join(some['method'])})" if 0 < len(some) < len(all_) and len(some) <= 3 else ""
    return f"{len(some) or 'none'} of {len(all_)}{named}"


def _absent(own: pd.DataFrame, names: Sequence[str]) -> list[str]:
    left = own[~own["metric"].isin(names)]
    certain = left[left["note"].astype(str).str.contains("before it was refined")]
    found = []
    if len(certain):
        found.append(
            f"Not compared: {', '.join(str(m).replace('_', ' ') for m in dict.fromkeys(certain['metric']))}, which "
            "read the map as it was before it was masked."
        )
    if not own["control"].astype(bool).any():
        found.append("No random map was masked in the same way: whether that gains as much is not known.")
    return found


def _table(rows: dict[tuple[str, str], Any], names: Sequence[str], methods: Sequence[str]) -> dict[str, Any]:
    """Difference, and beyond the control, with what is said of them; one row per method."""
    shown = []
    for m in methods:
        cells = []
        for n in names:
            r = rows.get((n, m), {})
            word = str(r.get("word", "")) if r.get("word") != "undefined" else str(r.get("note", ""))
            cells.append({"text": _signed(r.get("difference")), "small": _small(r, word)})
            for k in ("beyond", "against"):
                cells.append({"text": _signed(r.get(k)), "small": interval(r.get(f"{k}_low"), r.get(f"{k}_high"))})
        control = any(bool(r["control"]) for k, r in rows.items() if k[1] == m)
        shown.append({"name": m, "control": control, "cells": cells})
    head = ["method"]
    for n in names:
        head += [f"{n.replace('_', ' ')}: masked less whole", "less the random map’s gain", "masked less masked random"]
    return {"head": head, "rows": shown}


def _small(r: dict[str, Any], word: str) -> str:
    parts = [interval(r.get("difference_low"), r.get("difference_high"))]
    parts.append(p_value(r["p"]) if is_number(r.get("p")) else "")
    parts.append("helps no more than random" if word == NO_MORE else word)
    return ", ".join(p for p in parts if p)


def _bar(r: Any, method: str, stem: str) -> Bar:
    if r is None:
        return Bar(method, float("nan"))
    low, high = (r[f"{stem}_{k}" if stem else k] for k in ("low", "high"))
    both = is_number(low) and is_number(high)
    value = r[stem or "mean"]
    return Bar(method, float(value), float(low) if both else None, float(high) if both else None)


def _title(name: str, rows: dict[tuple[str, str], Any], methods: Sequence[str]) -> str:
    direction = next((str(rows[name, m]["direction"]) for m in methods if (name, m) in rows), "")
    return f"{name.replace('_', ' ')} {ARROWS.get(direction, '')}".strip()


def _controls(own: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(own.loc[own["control"].astype(bool), "method"].astype(str)))


def _signed(value: Any) -> str:
    return ("+" if is_number(value) and float(value) > 0 else "") + number(value)
