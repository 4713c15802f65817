"""Cases whose evidence lies elsewhere than in the rest of the cohort: who, why, and where their maps are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pellucid.report.cohort_style import shown
from pellucid.report.numbers import DASH, interval, is_number, number, p_value
from pellucid.report.outlier_figure import outlier_strip
from pellucid.report.pieces import Panel, count, listed, panel, picture
from pellucid.study.store import Run

TOP = 8  # cases in the table
MOST_CLASSES = 45  # drawn; of more the picture is too tall
LEVEL = 0.05
NAMES = {
    "spearman": "segmented worse (ρ of score and Dice)", "mann_whitney": "older (how often, 0.5: neither)",
    "welch": "older (years)", "fisher": "women (odds ratio)", "chi2": "women or men (Cramér’s V)",
}  # fmt: skip


def outlier_panels(run: Run, task: str, shown_cases: Mapping[str, str]) -> list[Panel]:
    """One card for each method and label map.

    Args:
        run: whose tables are read.
        task: of the run.
        shown_cases: cases in the gallery, with the place on the page that a link goes to.
    """
    table, tests = run.table("outliers", task), run.table("outlier_tests", task)
    if not len(table):
        return []
    stored = set(run.cases(task))
    found = []
    for (method, of), own in table.groupby(["method", "of"], sort=False):
        mine = tests[(tests["method"] == method) & (tests["of"] == of)] if len(tests) else tests
        found.append(_panel(str(method), str(of), own.reset_index(drop=True), mine, shown_cases, stored))
    return found


def _panel(
    method: str, of: str, own: pd.DataFrame, tests: pd.DataFrame, shown_cases: Mapping[str, str], stored: set[str]
) -> Panel:
    title = f"Outliers: cases whose evidence lies elsewhere ({method}, regions: {of})"
    scored = own[own["score"].notna()]
    alike = "17 in 100 of the cases in a cohort of 32, 6 in 100 in one of 100"
    if not own["trained"].astype(bool).all():
        alike = "26 in 100 of the new cases by a forest grown on 32, 8 in 100 by one grown on 100"
    notes = [
        "For each class an isolation forest on the shares of the map by region; z: robust standard deviations from the "
        "median of the cases that the forest was grown on. The automatic threshold finds some where there are none: in "
        f"simulated cohorts whose cases were all drawn alike it called {alike} outliers (fewer under another law). An "
        "outlier is a case to look at, not a wrong one; a field of view "
        "without an organ, or another scanner, makes one as well."
    ]
    few = _without(own)
    if not len(scored):
        return panel(title, f"no score: {listed(few, 3)}.", cases=[])
    everyone, old = scored, scored["trained"].astype(bool)
    if not old.all():  # of interest is who the forest has not seen
        scored = scored[~old].assign(rank=lambda t: t.groupby("target")["score"].rank(method="min"))
    outliers = scored[scored["outlier"].astype(bool)]
    flagged = outliers.groupby("case").size().sort_values(ascending=False, kind="stable")
    classes = scored["target"].nunique()
    share = len(outliers) / len(scored)
    trained = sorted({int(n) for n in scored["trained_on"]})
    spread = str(trained[0]) if len(trained) == 1 else f"{trained[0]} to {trained[-1]}"
    line = (
        f"{count(scored['case'].nunique(), 'case')} scored for {classes} class{'es' * (classes != 1)} by forests grown "
        f"on {'the same' if old.all() else 'other'} cases ({spread}); {100 * share:.0f} % of the scores are called "
        "outliers."
    )
    points = [*_often(scored, flagged, classes), *_tested(tests)]
    if few:
        notes.append(f"Without a score: {listed(few, 4)}.")
    drawn = everyone if classes <= MOST_CLASSES else _lowest_classes(everyone)
    if classes > MOST_CLASSES:
        notes.append(f"Drawn are the {MOST_CLASSES} classes with the lowest scores.")
    alt = "Scores by class; lowest: " + "; ".join(
        f"{r['target']} {r['case']} {number(r['score'])}" for r in _lowest(scored).head(MOST_CLASSES).to_dict("records")
    )
    return panel(
        title, line, points=points, notes=notes, picture=picture(outlier_strip(drawn.reset_index(drop=True)), alt),
        cases=_cases(scored, flagged, shown_cases, stored, classes),
        more=[("What goes with being an outlier", _tests(tests))] if len(tests) else [],
    )  # fmt: skip


def _without(own: pd.DataFrame) -> list[str]:
    """Classes without any score, by the reason."""
    none = own.groupby("target", sort=False).filter(lambda g: bool(g["score"].isna().all()))
    found = []
    for note, rows in none.groupby("note", sort=False):
        names = [shown(str(t)) for t in dict.fromkeys(rows["target"])]
        found.append(f"{note} ({listed(names, 4)})")
    return found


def _often(scored: pd.DataFrame, flagged: pd.Series, classes: int) -> list[str]:
    if not len(flagged):
        return ["No case is called an outlier in any class."]
    far = scored.sort_values("score", kind="stable").to_dict("records")[0]
    first = int((scored[scored["case"] == far["case"]]["rank"] == 1).sum())
    return [
        f"The lowest score of all is that of {far['case']} for {shown(str(far['target']))}: {shown(str(far['why']))}. "
        f"It has the lowest score in {first} of {classes} classes, and is called an outlier in "
        f"{int(flagged.get(far['case'], 0))}."
    ]


def _tested(tests: pd.DataFrame) -> list[str]:
    """What is below 5 % after Holm's correction, or that nothing is, by question."""
    found = []
    asked = (
        ("spearman", ("Dice goes with the score", "Dice is not shown to go with the score")),
        ("mann_whitney", ("Outliers differ in age", "Outliers are not shown to be older or younger")),
        ("fisher", ("Outliers differ in sex", "Outliers are not shown to be women or men more often")),
    )
    for test, said in asked:
        own = tests[tests["test"] == test] if len(tests) else tests
        known = own[own["p"].notna()] if len(own) else own
        if not len(known):
            continue
        sure = known[known["p_holm"] < LEVEL].sort_values("p")
        if not len(sure):
            found.append(f"{said[1]} in any of {len(known)} classes after Holm’s correction.")
            continue
        text = "; ".join(
            f"{shown(str(r['target']))} {number(r['effect'])} {interval(r['low'], r['high'])}".rstrip()
            for r in sure.head(4).to_dict("records")
        )
        what = NAMES[test].split(" (")[1][:-1]
        found.append(
            f"{said[0]} ({what}: {text}) in {len(sure)} of {len(known)} classes after Holm’s correction"
            + (", in the others it is not shown to." if len(sure) < len(known) else ".")
        )
    return found


def _lowest(scored: pd.DataFrame) -> pd.DataFrame:
    return scored.loc[scored.groupby("target", sort=False)["score"].idxmin()].sort_values("score", kind="stable")


def _lowest_classes(scored: pd.DataFrame) -> pd.DataFrame:
    return scored[scored["target"].isin(_lowest(scored)["target"].head(MOST_CLASSES))]


def _cases(
    scored: pd.DataFrame, flagged: pd.Series, shown_cases: Mapping[str, str], stored: set[str], classes: int
) -> list[dict[str, Any]]:
    """The cases that are called outliers, by their lowest score of any class, with the reason there."""
    lowest = scored.sort_values("score", kind="stable").drop_duplicates("case")
    rows = []
    for r in lowest[lowest["case"].isin(flagged.index)].head(TOP).to_dict("records"):
        case = str(r["case"])
        maps = "in the gallery" if case in shown_cases else "stored in the run" if case in stored else "not stored"
        rows.append({
            "case": case, "link": shown_cases.get(case, ""), "maps": maps, "part": str(r["part"] or ""),
            "often": f"{int(flagged[case])} of {classes}", "target": shown(str(r["target"])),
            "score": number(r["score"]), "why": shown(str(r["why"])), "dice": number(float(r["dice"])),
        })  # fmt: skip
    return rows


def _tests(tests: pd.DataFrame) -> dict[str, Any]:
    kinds = [t for t in NAMES if t in set(tests["test"])]
    by = {(str(r["target"]), str(r["test"])): r for r in tests.to_dict("records")}

    def cell(target: str, kind: str) -> dict[str, str]:
        r = by.get((target, kind))
        if r is None or not is_number(r["p"]):
            return {"text": DASH, "small": "", "why": "" if r is None else str(r["note"])}
        after = f"{p_value(r['p'])}, Holm {p_value(r['p_holm'])[2:].strip()}"
        return {"text": number(r["effect"]), "small": interval(r["low"], r["high"]), "why": after}

    head = ["class", "outliers, others", *(NAMES[k] for k in kinds)]
    rows = []
    for target in dict.fromkeys(str(t) for t in tests["target"]):
        of = next(by[target, k] for k in kinds if (target, k) in by)
        sizes = {"text": f"{int(of['outliers'])}, {int(of['others'])}", "small": ""}
        rows.append({"name": shown(target), "control": False, "cells": [sizes, *(cell(target, k) for k in kinds)]})
    return {"head": head, "rows": rows}
