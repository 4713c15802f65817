"""Where the evidence for each class lies, over a cohort: matrix, context, graph, tree, and what they cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from scipy.stats import spearmanr

from pellucid.aggregate.cohort.clusters import clusters
from pellucid.aggregate.cohort.cube import BACKGROUND, cube
from pellucid.aggregate.cohort.matrix import matrix, square
from pellucid.aggregate.wide import WHOLE
from pellucid.errors import PellucidError
from pellucid.report.aggregated_folds import context_fold, enrichment_fold, graph_fold, tree_fold
from pellucid.report.aggregated_table import cell_table, class_table, percent
from pellucid.report.cohort_matrix import mass_matrix
from pellucid.report.cohort_style import by_system, shown
from pellucid.report.numbers import is_number, number
from pellucid.report.pieces import Panel, count, listed, panel, picture
from pellucid.study.store import Run

MOST_SHOWN = 60  # classes in the matrix


def aggregated_rows(run: Run, task: str) -> pd.DataFrame:
    """The run's rows of regions that cover the volume, with whose case each is."""
    table = run.table("regions", task)
    if "of" not in table or not table["of"].notna().any():
        return pd.DataFrame()
    data = run.table("data", task)
    owner = dict(zip(data["case"], data["group"])) if "group" in data else {}
    own = table[table["of"].notna()]
    return own.assign(group=own["case"].map(lambda c: owner.get(c, c)))


def aggregated_panels(run: Run, task: str, words: Mapping[str, str]) -> list[Panel]:
    """One card for each method and label map: the sentences, the matrix, the classes, and folds with the rest.

    Args:
        run: whose tables are read.
        task: of the run.
        words: method to the verdict on its maps, of those that were judged.
    """
    table = aggregated_rows(run, task)
    if not len(table):
        return []
    return [
        _card(str(method), str(of), own, run.info.get("methods", {}), words)
        for (method, of), own in table.groupby(["method", "of"], sort=False)
    ]


def _card(method: str, of: str, own: pd.DataFrame, methods: dict[str, Any], words: Mapping[str, str]) -> Panel:
    title = f"Where the evidence for each class lies ({method}, regions: {of})"
    try:
        mass = cube(own)
    except PellucidError as error:
        return panel(title, str(error), folds=[])
    means = matrix(mass)
    values = square(means)
    enriched = _means(own, "enrichment")
    large = len(values) > MOST_SHOWN
    order = _order(means, values)
    kept = order[:MOST_SHOWN] if large else order
    columns = [r for r in values.columns if r in kept or r == BACKGROUND]
    drawn = values.loc[[t for t in values.index if t in kept], columns]
    notes = [*_cannot(own, method, of, methods)]
    if large:
        notes.append(f"Drawn are {MOST_SHOWN} of {len(values)} classes; `pellucid aggregate RUN` draws any of them.")
    cases, patients = len(mass.cases), len(mass.patients)
    line = (
        f"{count(cases, 'case')} of {count(patients, 'patient')}, {len(mass.targets)} classes explained, "
        f"{len(mass.regions)} regions."
    )
    own_mass = [f"{t} {100 * float(values.loc[t, t]):.1f}" for t in values.index if t in values.columns]
    alt = "Mean mass in per cent, of each class in its own region: " + listed(own_mass, 12)
    every = [("Mass of every class in every region", cell_table(means, values))]
    if len(enriched):
        every.append(("Enrichment of every class in every region", cell_table(enriched, square(enriched))))
    return panel(
        title, line, points=[_trusted(method, words), *_points(means, values, enriched, own)], notes=notes,
        picture=picture(mass_matrix(drawn, order=kept, title="Mean mass, in percent of the map"), alt),
        table=class_table(mass, means, enriched, own) | {"open": True},
        more=every,
        folds=[*enrichment_fold(enriched, kept), *context_fold(mass), *graph_fold(means, values), *tree_fold(means)],
    )  # fmt: skip


def _means(own: pd.DataFrame, measure: str) -> pd.DataFrame:
    return matrix(cube(own, measure=measure)) if (own["measure"] == measure).any() else pd.DataFrame()


def _order(means: pd.DataFrame, values: pd.DataFrame) -> list[str]:
    """The classes in the order of the tree; by system of the body where there is none."""
    try:
        found = clusters(means)
    except PellucidError:
        return by_system([str(t) for t in values.index if t != BACKGROUND])
    order = [found.names[i] for i in found.order]
    return [*order, *(str(t) for t in values.index if t not in order and t != BACKGROUND)]


def _points(
    means: pd.DataFrame, values: pd.DataFrame, enriched: pd.DataFrame, own: pd.DataFrame
) -> list[str]:  # fmt: skip
    found = []
    inside = means[(means["target"] == means["region"]) & (means["target"] != BACKGROUND) & means["mean"].notna()]
    inside = inside[inside["low"].notna()] if inside["low"].notna().any() else inside  # not of one case or two
    if len(inside):
        low, high = (inside.loc[getattr(inside["mean"], f)()] for f in ("idxmin", "idxmax"))
        found.append(
            f"Of a class’s map, {percent(low)} ({shown(str(low['target']))}) to {percent(high)} "
            f"({shown(str(high['target']))}) lies in its own region{_own_enrichment(enriched, list(inside['target']))}."
        )
    if BACKGROUND in values.columns and len(inside):
        back = values[BACKGROUND].drop(BACKGROUND, errors="ignore").dropna()
        share = own[(own["measure"] == "share") & (own["region"] == BACKGROUND)]["value"].mean()
        fills = f", which fills {100 * share:.0f} % of the volume," if is_number(share) else ""
        if len(back):
            found.append(f"The background{fills} holds {100 * back.min():.0f} to {100 * back.max():.0f} % of the maps.")
    found += _follows(own)
    found += _never(own)
    return found


def _trusted(method: str, words: Mapping[str, str]) -> str:
    if method in words:
        return f"Verdict on the maps of {method}: {words[method]}. The table is as good as its maps."
    return f"The maps of {method} were not judged in this run, and the table is as good as its maps."


def _own_enrichment(enriched: pd.DataFrame, classes: Sequence[str]) -> str:
    if not len(enriched):
        return ""
    own = enriched[(enriched["target"] == enriched["region"]) & enriched["target"].isin(classes)]["mean"].dropna()
    return f": {number(own.min())} to {number(own.max())} times the region’s share of the volume" if len(own) else ""


def _follows(own: pd.DataFrame) -> list[str]:
    """How far mass is explained by the size of the regions alone."""
    kept = own[own["measure"].isin(["mass", "share"]) & (own["region"] != own["target"]) & (own["region"] != WHOLE)]
    wide = kept.groupby(["target", "region", "measure"], sort=False)["value"].mean().unstack("measure")
    if "share" not in wide or "mass" not in wide:
        return []
    wide = wide.dropna()
    if len(wide) < 6 or wide["share"].nunique() < 3:
        return []
    rho = float(spearmanr(wide["mass"], wide["share"]).statistic)
    return [
        f"Over {len(wide)} pairs of a class and another region, mean mass and the region’s size have a rank "
        f"correlation of {rho:.2f}: mass follows volume, the more the nearer this is to 1."
    ]


def _never(own: pd.DataFrame) -> list[str]:
    rows = own[(own["measure"] == "never_predicted") & (own["value"] > 0)]
    if not len(rows):
        return []
    cases = own["case"].nunique()
    by = rows.groupby("target", sort=False)["case"].nunique().sort_values(ascending=False, kind="stable")
    named = [f"{shown(str(t))} in {n} of {cases}" for t, n in by.items()]
    return [f"Never predicted, and so without numbers there: {listed(named, 4)}."]


def _cannot(own: pd.DataFrame, method: str, of: str, methods: dict[str, Any]) -> list[str]:
    """What the numbers are, and what they cannot tell."""
    family = str(methods.get(method, {}).get("family", ""))
    said = {
        "predicted": "the model’s own prediction, so that a class drawn in the wrong place has its region there",
        "truth": "the true segmentation",
    }.get(of, f"the label map “{of}”")
    signs = "; the table has both signs apart" if (own["measure"] == "negative_mass").any() else ""
    kind = f" ({family})" if family else ""
    return [
        "Mass: share of the map’s magnitude in a region; what speaks against the class counts like what speaks for it"
        f"{signs}. Enrichment (×): that share over the region’s share of the volume; 1 means indifferent. Means over "
        "cases, 95 % bootstrap intervals over patients, none for fewer than five. The maps are of one method, "
        f"{method}{kind}: another gives another table, and whether the model needs what lies in a region is not asked "
        f"here. Regions come from {said}."
    ]
