"""Cases whose evidence lies elsewhere than in the rest of the cohort, and what goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pellucid.aggregate.outlier_tests import associations
from pellucid.aggregate.outliers import Forest, find_outliers
from pellucid.aggregate.tables import load_region_table
from pellucid.errors import UsageError, nearest
from pellucid.study.analysis import Analysis
from pellucid.study.context import Context

TABLE, TESTS = "outliers", "outlier_tests"
AGES, SEXES = ("meta_age", "meta_age_years"), ("meta_sex", "meta_gender")
FILES = (".parquet", ".csv")


@dataclass(frozen=True, kw_only=True)
class Outliers(Analysis):
    """An isolation forest for each class on the rows of the aggregated region table.

    Attributes:
        train: the cohort that the forests are grown on: a part (``train``, ``val``, ``test``, a source of ``also``), or
            another run's folder or region table; all cases of the table if None.
        method: whose maps; every method of the table if None.
        of: which label map the regions come from; each of them if None.
        measure: which measure makes the rows.
        targets: classes; all by default.
        contamination: the share of the training cases that is called an outlier, or ``"auto"``.
        trees: of a forest.
        seed: of the forests, the intervals and the permutations; that of the run if None.
    """

    name = "outliers"
    needs_maps = False
    train: str | None = None
    method: str | None = None
    of: str | None = None
    measure: str = "mass"
    targets: tuple[str, ...] | None = None
    contamination: float | str = "auto"
    trees: int = 300
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check the options of the forest."""
        self._forest(0)

    def run(self, context: Context) -> None:
        """Write the tables ``outliers`` and ``outlier_tests``."""
        run, task = context.run, context.task
        seed = context.recipe.seed if self.seed is None else self.seed
        regions = run.table("regions", task)
        if "of" not in regions or not regions["of"].notna().any():
            raise UsageError(
                f"task {task}, analysis {self.name!r}: the run has no aggregated region table; add the section "
                "'aggregate' to the task"
            )
        data = run.table("data", task)
        parts = dict(zip(data["case"], data["part"]))
        people = _people(data)
        cases, tests = [], []
        for (method, of), own in self._chosen(regions, task):
            cohort, apart = self._cohort(context, own, parts, str(method), str(of))
            found = find_outliers(
                own, train=cohort, measure=self.measure, targets=self.targets, forest=self._forest(seed)
            )
            trained = found["case"].isin(set(cohort["case"])) if not apart else pd.Series(False, index=found.index)
            named = {"method": method, "of": of}
            cases.append(found.assign(**named, part=found["case"].map(parts), trained=trained))
            new = found[~trained]  # who was not trained on; all, where the forest was grown on all
            tests.append(associations(new if len(new) else found, people, seed=seed).assign(**named))
        run.put_table(TABLE, task, pd.concat(cases, ignore_index=True))
        run.put_table(TESTS, task, pd.concat(tests, ignore_index=True))

    def _forest(self, seed: int) -> Forest:
        return Forest(trees=self.trees, contamination=self.contamination, seed=seed)

    def _chosen(self, regions: pd.DataFrame, task: str) -> list[tuple[Any, pd.DataFrame]]:
        """The rows of each method and label map that is asked for."""
        table = regions[regions["of"].notna()]
        for column, wanted in (("method", self.method), ("of", self.of)):
            known = [str(v) for v in table[column].unique()]
            if wanted is not None and wanted not in known:
                near = nearest(wanted, known)
                raise UsageError(f"task {task}, analysis {self.name!r}: no {column} {wanted!r} in the table; {near}")
            table = table if wanted is None else table[table[column] == wanted]
        return list(table.groupby(["method", "of"], sort=False))

    def _cohort(
        self, context: Context, own: pd.DataFrame, parts: dict[str, str], method: str, of: str
    ) -> tuple[pd.DataFrame, bool]:
        """The rows that the forests are grown on, and whether they are of another cohort."""
        if self.train is None:
            return own, False
        known = list(dict.fromkeys(parts.values()))
        path = context.path(self.train)
        if self.train not in known and (path.suffix in FILES or path.is_dir()):
            return _other(path, context.task, method, of), True
        if self.train not in known:
            raise UsageError(
                f"task {context.task}, analysis {self.name!r}: train={self.train!r} is no part, run folder or region "
                f"table; {nearest(self.train, known)}"
            )
        rows = own[own["case"].map(parts) == self.train]
        if not len(rows):
            raise UsageError(
                f"task {context.task}, analysis {self.name!r}: no case of part {self.train!r} was aggregated; "
                "set 'aggregate: {cases: …}', or leave 'train' out"
            )
        return rows, False


def _other(path: Path, task: str, method: str, of: str) -> pd.DataFrame:
    """Another cohort's rows, of the same task, method and label map where its table tells."""
    table = load_region_table(path)
    for column, value in (("task", task), ("method", method), ("of", of)):
        if column in table and table[column].notna().any():
            known = [str(v) for v in table[column].dropna().unique()]
            if value not in known and column == "task" and len(known) == 1:
                continue  # another recipe may call it otherwise
            if value not in known:
                raise UsageError(f"{path}: has no {column} {value!r}; {nearest(value, known)}")
            table = table[table[column] == value]
    return table


def _people(data: pd.DataFrame) -> pd.DataFrame:
    """Case, patient, age and sex, as far as the cases say."""
    people = data[["case", "group"]].copy()
    for name, columns in (("age", AGES), ("sex", SEXES)):
        found = next((c for c in columns if c in data), None)
        if found is not None:
            people[name] = data[found]
    return people
