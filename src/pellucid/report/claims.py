"""The clinical claims on the page: a card each, with numbers, intervals and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from pellucid.report.charts import Bar
from pellucid.report.claim_words import (
    MISSING,
    READERS,
    WORDS,
    by_finding,
    headline,
    passed_of,
    readers_of,
    statement_of,
    table_of,
    whole,
)
from pellucid.report.dots import level_dots
from pellucid.report.judge import CONTROLS
from pellucid.report.numbers import is_number, number
from pellucid.report.pieces import Panel, panel, picture
from pellucid.study.store import Run

RULE = (
    "A statement holds where the 95 % interval lies wholly on its side, p is under 0.05 after Holm’s correction over "
    "findings and methods, and the random map does worse; it does not hold where the interval lies wholly on the other "
    "side, with such a p; else it is not settled. What is not settled is neither shown nor refuted."
)
PARTS = ("TP", "said to be there")


@dataclass(frozen=True)
class Card:
    """How one claim is shown: its title, the measures that are drawn, and what has to be kept in mind."""

    title: str
    telling: tuple[str, ...]  # measures whose verdicts are its headline
    drawn: tuple[tuple[str, str, str], ...]  # statement (empty: any), measure, heading
    note: str


CARDS = {
    "boxes": Card(
        "Do the maps agree with the radiologists’ boxes?", ("hit",),
        (("better than a map that knows nothing", "hit", "maximum in the box"),
         ("better than a map that knows nothing", "iou", "overlap at equal size"),
         ("", "hit_iou_10", "overlap of 0.1 or more")),
        "Maximum in the box: the pointing game. Overlap: of the box and as many of the highest pixels. A map that "
        "knows nothing scores the box’s share of the picture. Another patient’s map of the same finding knows where it "
        "usually lies. Boxes are drawn around what a reader saw; the model may go by something else, and be right.",
    ),
    "focus": Card(
        "Do surer predictions have more focused maps?", ("gini",),
        (("", "gini", "ρ of confidence and Gini index"), ("", "effective_share", "ρ of confidence and spread")),
        "Spearman’s ρ over maps, patients drawn. The size of the finding is not held constant: a small one may make a "
        "map both focused and sure.",
    ),
    "outside": Card(
        "Do wrong answers look outside the lungs?", ("outside",),
        (("false positives look outside the lungs more than true ones", "outside", "false less true positives"),
         ("wrong answers look outside the lungs more than right ones", "outside", "wrong less right answers")),
        "Difference in the mean share of the evidence that lies outside the lungs.",
    ),
    "apart": Card(
        "Are the maps of findings that occur together separate?", ("shared_top", "own_box"),
        (("", "shared_top", "share of the highest tenth"), ("", "spearman", "rank correlation"),
         ("", "own_box", "denser in its own box")),
        "Of pairs of findings that the model says are in one picture. Two maps that know nothing of each other share a "
        "tenth of their highest tenth. Low overlap says that the maps differ, not that each is right: that is asked of "
        "the boxes.",
    ),
}  # fmt: skip
def claim_panels(run: Run, task: str) -> list[Panel]:
    """A card for each claim, where the recipe asked for the analysis."""
    table = run.table("claims", task)
    if not len(table):
        return []
    parts = {claim: table[table["claim"] == claim] for claim in CARDS}
    return [_card(card, parts[claim]) for claim, card in CARDS.items() if len(parts[claim])]


def _card(card: Card, own: pd.DataFrame) -> Panel:
    made = own[own["groups"] > 0]
    if not len(made):
        return panel(card.title, f"{WORDS[MISSING]}: {own['note'].iloc[0]}.", notes=[])
    main = _main(made)
    asked = main[~main["method"].isin([*CONTROLS, READERS])]
    plain = asked[~asked["cases"].isin(PARTS)]  # the parts of the cases are in the picture and in the table
    points = [
        statement_of(str(statement), str(measure), rows)
        for (statement, measure), rows in plain.groupby(["statement", "measure"], sort=False)
    ]
    missing = own[(own["groups"] == 0) & (own["note"] != "")]
    points += [
        f"{str(r['statement']).capitalize()}: {WORDS[MISSING]}, {r['note']}."
        for r in missing.drop_duplicates("statement").to_dict("records")
    ]
    readers = readers_of(made)
    notes = [card.note, RULE]
    if main["region"].str.endswith("_classical").any():
        notes.insert(1, "The lungs are estimated by classical means; nobody read them.")
    passed = passed_of(main)
    return panel(
        card.title, headline(plain[plain["measure"].isin(card.telling)]),
        points=[*points, *readers, *passed], picture=_picture(card, main), notes=notes,
        table=table_of(main), more=by_finding(made),
    )  # fmt: skip


def _main(made: pd.DataFrame) -> pd.DataFrame:
    """Of all findings together where there are several, of all readers' boxes."""
    single = (made["claim"] == "boxes") & (made["region"] != "boxes")  # of one reader, or of two compared
    return made[(made["finding"] == whole(made)) & ~single]


def _picture(card: Card, main: pd.DataFrame) -> dict[str, str] | None:
    methods = [str(m) for m in dict.fromkeys(main["method"]) if m != READERS]
    methods.sort(key=lambda m: m in CONTROLS)
    panels: dict[str, dict[str, list[Bar]]] = {}
    lines: dict[str, float] = {}
    for statement, measure, heading in card.drawn:
        own = main[(main["measure"] == measure) & ((main["statement"] == statement) | (statement == ""))]
        own = own.drop_duplicates(["method", "cases"])
        if not own["value"].notna().any():
            continue
        kinds = [str(c) for c in dict.fromkeys(own["cases"])] if card.drawn[0][1] != "outside" else [""]
        by: dict[tuple[str, str], Any] = {
            (str(r["method"]), "" if kinds == [""] else str(r["cases"])): r for r in own.to_dict("records")
        }
        panels[heading] = {_kind(k): [_bar(m, by.get((m, k))) for m in methods] for k in kinds}
        lines[heading] = float(own["against"].median())
    if not panels:
        return None
    levels = list(dict.fromkeys(v for by_level in panels.values() for v in by_level))
    nothing = [Bar(m, float("nan")) for m in methods]
    filled = {h: {v: by_level.get(v, nothing) for v in levels} for h, by_level in panels.items()}
    alt = "; ".join(
        f"{h}, {v}: " + ", ".join(f"{b.name} {number(b.value)}" for b in bars)
        for h, by_level in filled.items() for v, bars in by_level.items()
    )  # fmt: skip
    figure = level_dots(filled, controls=CONTROLS, lines=lines, line_name="compared with")
    return picture(figure, f"{alt}. Compared with: " + ", ".join(f"{h} {number(v)}" for h, v in lines.items()))


def _kind(cases: str) -> str:
    names = {"all": "all explained", "TP": "true positives", "": "difference", "pairs": "pairs of findings"}
    return names.get(cases, cases)


def _bar(method: str, r: Any) -> Bar:
    if r is None:
        return Bar(method, float("nan"))
    both = is_number(r["low"]) and is_number(r["high"])
    return Bar(method, float(r["value"]), float(r["low"]) if both else None, float(r["high"]) if both else None)
