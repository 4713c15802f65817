"""What stands out in a data set, in sentences with their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from pellucid.explore.cohort import Cohort

RARE = 10  # patients with a class below which nothing can be measured of it
UNEQUAL = 3  # times as many cases of one class as of another
STRONG = 0.1  # of an association, beside which smaller ones are no news
NAMED = 3
MEASURES = {"cramer_v": "Cramér’s V", "point_biserial": "correlation", "spearman": "Spearman’s ρ", "eta": "η"}


def standing_out(
    cohort: Cohort, *, checks: pd.DataFrame, counts: pd.DataFrame, pairs: pd.DataFrame, associations: pd.DataFrame,
    features: pd.DataFrame, scores: pd.DataFrame, regions: pd.DataFrame, looked: int,
) -> pd.DataFrame:  # fmt: skip
    """The sentences that come first in the report: ``kind``, ``sentence``, ``found`` (whether it is a warning).

    Args:
        cohort: all cases.
        checks: of :func:`pellucid.explore.sizes.checks`.
        counts: of :func:`pellucid.explore.labels.label_counts`.
        pairs: of :func:`pellucid.explore.labels.cooccurrence`.
        associations: of :func:`pellucid.explore.associations.associations`.
        features: of :func:`pellucid.explore.tables.features`.
        scores: of :func:`pellucid.explore.scores.scores`.
        regions: of :func:`pellucid.explore.compartments.compartments`.
        looked: cases whose pictures were looked at.
    """
    n, patients = len(cohort), cohort.frame["group"].nunique()
    rows = [("cases", _cases(n, patients, looked), False)]
    rows += [("check", str(r["sentence"]), True) for r in checks.to_dict("records") if r["found"]]
    told = (*_classes(cohort, counts), *_pairs(pairs))
    rows += [(kind, said, kind not in ("pair", "balance")) for kind, said in told]
    rows += [("score", said, False) for said in _scores(scores)]
    rows += list(_shortcuts(associations))
    contrasts = [cohort.classes[k] for k in cohort.contrasts]
    mine = features[features["class"].isin(contrasts)] if contrasts and len(features) else features
    rows += [("feature", said, False) for said in _features(mine)]
    rows += [("region", said, False) for said in _regions(regions)]
    if not len(cohort.meta.columns):
        rows.append(("meta", "Nothing is known of the patients (no age, sex, view): bias cannot be looked for.", True))
    return pd.DataFrame(rows, columns=["kind", "sentence", "found"])


def _cases(n: int, patients: int, looked: int) -> str:
    text = f"{_many(n, 'case')} of {_many(patients, 'patient')}, all parts together"
    pictures = f"; pictures were looked at in {looked} of them, drawn by the seed" if 0 < looked < n else ""
    return f"{text}{pictures}. The test cases are described as well; nothing is chosen by them here."


def _many(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def _classes(cohort: Cohort, counts: pd.DataFrame) -> Iterator[tuple[str, str]]:
    if not len(counts) or cohort.kind == "mask":
        return
    own = counts[(counts["part"] == "all") & (counts["cases"] > 0)].sort_values("cases", kind="stable")
    if len(own) > 1:
        few, most = own.iloc[0], own.iloc[-1]
        times = most["cases"] / few["cases"]
        yield ("imbalance" if times >= UNEQUAL else "balance"), (
            f"The rarest class is {few['class']} with {_many(int(few['cases']), 'case')} ({_percent(few['share'])}), "
            f"the commonest {most['class']} with {int(most['cases'])} ({_percent(most['share'])})"
            + (f": {times:.3g} times as many." if times > 1 else ".")
        )
    rare = own[own["patients"] < RARE]
    if len(rare):
        said = ", ".join(f"{r['class']} ({r['patients']})" for r in rare.head(NAMED + 2).to_dict("records"))
        yield "rare", f"Fewer than {RARE} patients have {said}: what is measured of it will hardly have an interval."
    gone = counts[(counts["part"] != "all") & (counts["cases"] == 0) & (counts["of_cases"] > 0)]
    for name, mine in gone[gone["class"].isin(list(own["class"]))].groupby("class", sort=False):
        yield "absent", f"{name} does not occur in {' and '.join(mine['part'])}."


def _pairs(pairs: pd.DataFrame) -> Iterator[tuple[str, str]]:
    if not len(pairs):
        return
    sure = pairs[(pairs["p_holm"] < 0.05) & (pairs["phi"].abs() >= STRONG)]
    for r in sure.reindex(sure["phi"].abs().sort_values(ascending=False).index).head(NAMED).to_dict("records"):
        yield "pair", (
            f"{r['a']} and {r['b']} come together {r['lift']:.3g} times as often as by chance: in {r['both']} of "
            f"{r['n']} cases (φ {r['phi']:.2f}{_ends(r)}, {_p(r['p_holm'])})."
        )


def _shortcuts(table: pd.DataFrame) -> Iterator[tuple[str, str, bool]]:
    if not len(table):
        return
    sure = table[table["found"].astype(bool) & (table["value"].astype(float).abs() >= STRONG)]
    for source in ("meta", "picture", "region"):
        columns = list(sure[sure["source"] == source].groupby("column", sort=False))
        for _, own in columns[:NAMED]:
            others = list(own["class"].iloc[1:])
            also = f" So it does, less strongly, with {', '.join(others)}." if others else ""
            yield "association", _associated(own.iloc[0].to_dict()) + also, True
        if len(columns) > NAMED:
            names = ", ".join(str(name) for name, _ in columns[NAMED:])
            yield "association", f"The table has more that go with a class: {names}.", False
    if not table["found"].any():
        what = "1 association was" if len(table) == 1 else f"{len(table)} associations were"
        yield "association", f"Nothing known of the cases goes with the truth beyond chance ({what} looked at).", False


def _associated(r: dict[Any, Any]) -> str:
    measure = f"{MEASURES[r['measure']]} {r['value']:.2f}{_ends(r)}, {_p(r['p_holm'])}"
    known = r["source"] == "meta"
    what = "a network may read it in place of the finding" if known else "it may be the finding itself, or a shortcut"
    if r["measure"] == "cramer_v":
        return (
            f"{r['column']} goes with {r['class']}: {r['level']} in {_percent(r['with'])} of those with it, "
            f"{_percent(r['without'])} of those without ({measure}): {what}."
        )
    if r["measure"] == "point_biserial":
        return (
            f"{r['column']} goes with {r['class']}: mean {r['with']:.3g} with it, {r['without']:.3g} without "
            f"({measure}): {what}."
        )
    return f"{r['column']} goes with the {r['class']} ({measure}): {what}."


def _features(table: pd.DataFrame) -> Iterator[str]:
    if not len(table):
        return
    sure = table[(table["low"] > 0) | (table["high"] < 0)]
    first = sure.reindex(sure["smd"].abs().sort_values(ascending=False, kind="stable").index)
    first = first.drop_duplicates(["table", "feature"]).head(NAMED)
    said = [f"{r['feature']} ({r['class']} {r['smd']:+.2f}{_ends(r)})" for r in first.to_dict("records")]
    if said:
        yield f"Features in which the classes are farthest apart, in standard deviations: {', '.join(said)}."
    flat = list(dict.fromkeys(table.loc[table["constant"], "feature"]))
    if flat:
        yield f"Constant in all cases, so of no use: {', '.join(flat[:8])}."


def _scores(table: pd.DataFrame) -> Iterator[str]:
    for r in table[table["part"] == "all"].to_dict("records") if len(table) else ():
        skewed = f", skewness {r['skewness']:.2g}" if np.isfinite(r["skewness"]) else ""
        yield (
            f"{r['score']}: median {r['median']:.3g}, half of the cases from {r['q25']:.3g} to {r['q75']:.3g}, all "
            f"from {r['least']:.3g} to {r['most']:.3g}{skewed}."
        )


def _regions(table: pd.DataFrame) -> Iterator[str]:
    """What is known of the true masks, else of the smallest region: in it the answer may lie."""
    if not len(table):
        return
    own = table[table["cases"] > 0]
    true = own[own["truth"]] if own["truth"].any() else own[own["share"] == own["share"].min()]
    for name in list(dict.fromkeys(true["region"]))[:NAMED]:
        mine = true[true["region"] == name]
        r = mine.iloc[0]
        best = mine.dropna(subset=["contrast"])
        unit = "voxels" if r["axes"] == 3 else "pixels"
        said = f"{name}: median {r['median_pixels']:.0f} {unit} ({r['least_pixels']:.0f} to {r['most_pixels']:.0f})"
        said += f", {100 * r['share']:.2g} % of the picture on average, in {r['cases']} of {r['of_cases']} cases"
        if len(best):
            b = best.iloc[int(best["contrast"].abs().to_numpy().argmax())]
            side = "brighter" if b["contrast"] > 0 else "darker"
            if b["contrast_low"] <= 0 <= b["contrast_high"]:
                said += "; in no picture is it brighter or darker than its surroundings beyond chance"
            else:
                said += f"; most distinct in {b['input']}, {abs(b['contrast']):.2g} sd {side} than its surroundings"
        yield said + "."


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def _ends(r: dict[Any, Any]) -> str:
    return f" [{r['low']:.2f}, {r['high']:.2f}]" if np.isfinite(r["low"]) and np.isfinite(r["high"]) else ""


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p {p:.2g}"
