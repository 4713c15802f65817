"""The base of questions put to a whole cohort of explained cases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from pellucid.core.registry import Registry, build, named, tuples
from pellucid.study.context import Context


@dataclass(frozen=True, kw_only=True)
class Analysis(ABC):
    """One question; fields are its options. A new one is a file under ``study/analyses/``.

    Class attributes:
        name: registered name.
        needs_maps: whether it reads stored maps, so that the task has to explain.
    """

    name: ClassVar[str] = ""
    needs_maps: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        """Register a class that has a name."""
        if "name" in vars(cls):
            ANALYSES.add(cls.name, cls)

    @property
    def models(self) -> tuple[str, ...]:
        """Earlier tasks of the recipe whose models look at the explained cases."""
        return ()

    @abstractmethod
    def run(self, context: Context) -> None:
        """Answer it for a task whose maps and scores are there; writes tables into the run."""

    def case_by_case(
        self, context: Context, table: str, rows: Callable[[str], Sequence[Mapping[str, Any]]], columns: Sequence[str]
    ) -> pd.DataFrame:
        """The table of the rows of every explained case, each kept as it is made, so that a stop loses one at most."""
        run, task = context.run, context.task

        def do(batch: Sequence[str]) -> None:
            for case_id in batch:
                run.put_part(table, task, case_id, pd.DataFrame(rows(case_id), columns=list(columns)))

        items = [[c] for c in run.cases(task)]
        context.batches("analyse", items, lambda b: [f"{self.name}: {c}" for c in b], do, lambda b: [b])
        run.merge(table, task)
        return run.table(table, task)


ANALYSES: Registry[type[Analysis]] = Registry("analysis", "pellucid.study.analyses")


def as_analysis(value: Any) -> Analysis:
    """An Analysis from a name or ``{name: {option: value}}``.

    Raises:
        UsageError: unknown analysis or option (the near misses are named).
    """
    name, options = named(value, "analysis")
    return build(ANALYSES[name], "analysis", name, tuples(options))
