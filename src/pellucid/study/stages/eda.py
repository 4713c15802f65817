"""Describe the data: classes, patients, pictures, regions, tables, scores, and what stands out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid import explore
from pellucid.core.case import Case
from pellucid.errors import UsageError, nearest
from pellucid.explore.cohort import Cohort
from pellucid.explore.lesions import CELLS, REST, without_doubles
from pellucid.explore.tables import most_apart
from pellucid.study.context import Context
from pellucid.study.recipe import Eda
from pellucid.study.stages.data import all_parts

PLACED = 4  # regions, the smallest, of which place and size are set against the classes
BATCH = 64  # cases that are looked at between two entries of the ledger
MAKES = (
    "eda_pictures", "eda_regions", "eda_labels", "eda_cooccurrence", "eda_people", "eda_associations", "eda_histograms",
    "eda_places", "eda_compartments", "eda_features", "eda_correlations", "eda_violins", "eda_scores", "eda_checks",
    "eda_montage", "eda_notes",
)  # fmt: skip


class _Eda:
    """One task's cases, what is known of them, and those whose pictures are looked at."""

    def __init__(self, context: Context) -> None:
        self.context, self.asked, self.seed = context, context.work.eda or Eda(), context.recipe.seed
        parts = all_parts(context)
        self.model = context.work.model  # what the recipe left open is filled in from the cases
        for name in self.asked.parts:
            if name not in parts:
                raise UsageError(f"task {context.task}, eda.parts: no cases called {name!r}; {nearest(name, parts)}")
        parts = {k: v for k, v in parts.items() if not self.asked.parts or k in self.asked.parts}
        self.cases = [c for found in parts.values() for c in found]
        self.cohort = explore.cohort(parts, task=self.model.task, classes=self.model.classes)
        self.looked = self._drawn()
        self.some = [self.cases[k] for k in self.looked]
        inside = np.zeros(len(self.cases), bool)
        inside[self.looked] = True
        self.seen: Cohort = self.cohort.only(inside)
        groups = {k: v[inside] for k, v in self.cohort.groups(self.asked.classes).items()}
        self.groups = {k: v for k, v in groups.items() if v.any()}  # of those that are looked at

    def _drawn(self) -> NDArray[np.int64]:
        """The cases whose pictures are looked at, in their order."""
        n = len(self.cases)
        if n <= self.asked.most:
            return np.arange(n)
        return np.sort(np.random.default_rng(self.seed).choice(n, self.asked.most, replace=False))

    @property
    def parts(self) -> list[str]:
        """The part of each case that is looked at."""
        return [str(p) for p in self.seen.frame["part"]]

    def put(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Write a table; without rows it is only cleared."""
        run = self.context.run
        if len(table) or len(run.table(name, self.context.task)):
            run.put_table(name, self.context.task, table)
        return table


def run(context: Context) -> None:
    """The stage: tables ``eda_…`` of the cases of all parts; nothing is chosen by them."""
    work = _Eda(context)
    only, cohort = work.asked.classes, work.cohort
    groups = cohort.groups(only)
    columns = explore.columns_of(cohort, work.asked.meta)
    pictures = _pictures(work)
    regions, _ = without_doubles(_merged(work, "eda_regions"))
    work.put("eda_regions", regions)
    counts = work.put("eda_labels", explore.label_counts(cohort))
    pairs = work.put("eda_cooccurrence", explore.cooccurrence(cohort, seed=work.seed))
    work.put("eda_people", explore.people(cohort, columns, only))
    related = explore.associations(
        cohort, columns, pictures=_means(work, pictures), regions=_places(work, regions), seed=work.seed
    )
    work.put("eda_associations", related)
    scores = work.put("eda_scores", explore.scores(cohort, seed=work.seed))
    _histograms(work, pictures, regions)
    held = work.put("eda_compartments", explore.compartments(regions, seed=work.seed) if len(regions) else regions)
    features = _tables(work)
    numbers = {c: cohort.meta[c].to_numpy(float, na_value=np.nan) for c, kind in columns.items() if kind == "number"}
    by_part = {str(p): (cohort.frame["part"] == p).to_numpy() for p in dict.fromkeys(cohort.frame["part"])}
    told = {name: cohort.scores[:, k] for k, name in enumerate(cohort.classes)} if cohort.kind == "score" else {}
    outlines = [
        explore.violins(numbers, groups, source="meta"), explore.violins(told, by_part, source="score"), *features[1],
    ]  # fmt: skip
    work.put("eda_violins", pd.concat(outlines, ignore_index=True))
    checks = work.put("eda_checks", explore.checks(cohort, pictures, work.cases))
    shown = explore.montage(
        work.some, work.parts, work.groups, each=work.asked.montage, classes=work.model.classes, seed=work.seed
    )
    work.put("eda_montage", shown)
    notes = explore.standing_out(
        cohort, checks=checks, counts=counts, pairs=pairs, associations=related, features=features[0],
        scores=scores, regions=held, looked=len(work.some),
    )  # fmt: skip
    work.put("eda_notes", notes)


def _pictures(work: _Eda) -> pd.DataFrame:
    """Look at the pictures, batch by batch; what is done is kept when the run stops. The rows of all."""
    context, classes = work.context, work.model.classes
    cases = list(zip(work.some, work.parts))
    batches = [cases[k : k + BATCH] for k in range(0, len(cases), BATCH)]

    def named(batch: Sequence[tuple[Case, str]]) -> list[str]:
        return [f"pictures of {batch[0][0].id} and {len(batch) - 1} more"]

    def look(batch: Sequence[tuple[Case, str]]) -> None:
        rows = [r for case, part in batch for r in explore.picture_rows(case, part)]
        context.run.put_part("eda_pictures", context.task, batch[0][0].id, pd.DataFrame(rows))
        rows = [r for case, part in batch for r in explore.region_rows(case, part, classes)]
        context.run.put_part("eda_regions", context.task, batch[0][0].id, pd.DataFrame(rows))

    context.batches("eda", batches, named, look, single=lambda batch: [[one] for one in batch])
    return _merged(work, "eda_pictures")


def _merged(work: _Eda, name: str) -> pd.DataFrame:
    """A table from its parts, in the order of the cases; empty where there was nothing to write."""
    run, task = work.context.run, work.context.task
    work.put(name, pd.DataFrame())
    run.merge(name, task)
    table = run.table(name, task)
    if "case" not in table:
        return pd.DataFrame()
    place = {case: k for k, case in enumerate(work.seen.frame["case"])}
    order = table["case"].map(place).sort_values(kind="stable").index
    return work.put(name, table.loc[order].reset_index(drop=True).drop(columns="task"))


def _means(work: _Eda, pictures: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Each case's mean grey and area by picture, NaN where it was not looked at."""
    found = {}
    cases = work.cohort.frame["case"]
    for name, own in pictures.groupby("input", sort=False) if len(pictures) else ():
        by_case = own.set_index("case")["mean"]
        found[f"mean of {name}"] = cases.map(by_case).to_numpy(float)
        area = own.set_index("case")["shape"].map(lambda s: float(np.prod([int(n) for n in s.split("×")])))
        if area.nunique() > 1:
            found[f"size of {name}"] = cases.map(area).to_numpy(float)
    return found


def _places(work: _Eda, regions: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Where each region lies and what share of the picture it is, NaN where it is not or was not looked at."""
    found: dict[str, NDArray[np.float64]] = {}
    if not len(regions):
        return found
    own = regions[(regions["pixels"] > 0) & ~regions["region"].str.endswith(REST)].drop_duplicates(["case", "region"])
    for name in own.groupby("region", sort=False)["share"].mean().sort_values(kind="stable").index[:PLACED]:
        mine = own[own["region"] == name].set_index("case")
        flat = int(mine["axes"].iloc[0]) == 2
        words = ("from the top", "from the left") if flat else ("along x", "along y", "along z")
        for axis, word in enumerate(words):
            found[f"place of {name}, {word}"] = work.cohort.frame["case"].map(mine[f"centre_{axis}"]).to_numpy(float)
        found[f"share of {name}"] = work.cohort.frame["case"].map(mine["share"]).to_numpy(float)
    return found


def _histograms(work: _Eda, pictures: pd.DataFrame, regions: pd.DataFrame) -> None:
    """Histograms of grey values by class, and where the regions lie: one more look at the pictures."""
    patients = work.seen.patients
    edges = explore.common_edges(pictures) if len(pictures) else {}
    known = set(regions["region"]) if len(regions) else set()
    found, sums, times = [], {name: np.zeros((CELLS, CELLS)) for name in known}, dict.fromkeys(known, 0)
    with work.context.progress("eda, histograms", len(work.some)) as advance:
        for case in work.some:
            found.append(explore.shares(case, edges))
            for name, grid in explore.cover(case, work.model.classes).items() if known else ():
                if name in known and grid.any():
                    sums[name], times[name] = sums[name] + grid, times[name] + 1
            advance(1)
    work.put("eda_histograms", explore.histograms(found, edges, work.groups, patients, seed=work.seed))
    rows, columns = np.divmod(np.arange(CELLS * CELLS), CELLS)
    places = [
        pd.DataFrame({"region": name, "row": rows, "column": columns, "cover": (sums[name] / n).ravel(), "cases": n})
        for name, n in sorted(times.items()) if n
    ]  # fmt: skip
    work.put("eda_places", pd.concat(places, ignore_index=True) if places else pd.DataFrame())


def _tables(work: _Eda) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Features by class and their correlations; the features, and the outlines of their violins."""
    features, related, outlines = [], [], []
    only = work.asked.classes
    for name in dict.fromkeys(t for c in work.cases for t in c.tables):
        names, values = explore.table_values(work.cases, name, work.model.features)
        table = explore.features(names, values, work.cohort, table=name, only=only, seed=work.seed)
        features.append(table)
        places = [names.index(f) for f in most_apart(table)]
        drawn = [names[k] for k in places]
        related.append(explore.correlations(drawn, values[:, places], work.cohort, table=name, only=only))
        numbers = {names[k]: values[:, k] for k in places}
        outlines.append(explore.violins(numbers, work.cohort.groups(only), source=name))
    work.put("eda_correlations", pd.concat(related, ignore_index=True) if related else pd.DataFrame())
    found = pd.concat(features, ignore_index=True) if features else pd.DataFrame()
    return work.put("eda_features", found), outlines
