"""What the stages of one task share while a run is going."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.data.splits import Split
from pellucid.engine.engine import Engine
from pellucid.errors import PellucidError, UsageError, nearest
from pellucid.nets import load_predictor
from pellucid.study.recipe import Explain, Recipe, Work
from pellucid.study.runners import LocalRunner, Runner
from pellucid.study.store import Run

LOG = logging.getLogger("pellucid")
T = TypeVar("T")


class Unfinished(PellucidError):  # noqa: N818  (a state, which has been told)
    """A stage that did not come to its end, and has said why; what needs it is not done, ``--resume`` goes on."""


@dataclass(eq=False)
class Context:
    """One task of a run: its recipe, its folder, its cases and its model.

    Attributes:
        run: the folder.
        recipe: of the whole run.
        work: of this task.
        base: folder that relative paths in the recipe start from.
        console: where people read; standard error.
        quiet: no progress bars.
        resume: whether what is done may be kept.
        runner: where the folds of a cross-validation are trained.
    """

    run: Run
    recipe: Recipe
    work: Work
    base: Path
    console: Console
    quiet: bool = False
    resume: bool = False
    runner: Runner = field(default_factory=LocalRunner)
    split: Split | None = None
    also: dict[str, list[Case]] = field(default_factory=dict)
    cleaning: dict[str, pd.DataFrame] = field(default_factory=dict)  # what was noticed of the cases, by source
    segmenters: dict[Path, Engine] = field(default_factory=dict)  # by model folder: loaded once, asked batch by batch

    @property
    def task(self) -> str:
        """The task's name."""
        return self.work.name

    @property
    def explain(self) -> Explain:
        """What is explained; the stages that need it do not run for a task without."""
        assert self.work.explain is not None
        return self.work.explain

    @property
    def model_folder(self) -> Path:
        """Where the task's model lies."""
        return self.run.folder / "model" / self.task

    @cached_property
    def predictor(self) -> Predictor:
        """The trained model."""
        from pellucid.study.stages.train import given_model

        if self.work.train is None:
            return given_model(self)
        return load_predictor(self.model_folder)

    @property
    def shuffled_folder(self) -> Path:
        """Where the task's model that was trained on shuffled labels lies."""
        return self.model_folder.with_name(f"{self.task}-shuffled")

    @cached_property
    def shuffled(self) -> Predictor | None:
        """The model that was trained on shuffled labels, where the recipe wants one."""
        if self.work.evaluate.shuffled is not None:
            return load_predictor(self.path(self.work.evaluate.shuffled))
        return load_predictor(self.shuffled_folder) if self.work.evaluate.shuffled_labels else None

    @cached_property
    def engine(self) -> Engine:
        """Runs the model."""
        return Engine(self.predictor, device=self.recipe.device, precision=self.recipe.precision)

    def part(self, name: str) -> list[Case]:
        """The cases of ``train``, ``val``, ``test`` or of a further source."""
        from pellucid.study.stages.data import load_cases

        if self.split is None:
            load_cases(self)
        assert self.split is not None
        parts = {"train": self.split.train, "val": self.split.val, "test": self.split.test, **self.also}
        if name not in parts:
            raise UsageError(f"task {self.task}: no cases called {name!r}; {nearest(name, parts)}")
        return parts[name]

    def path(self, text: str) -> Path:
        """A path of the recipe: absolute, or relative to the recipe's folder, or to the working directory."""
        path = Path(text).expanduser()
        beside = self.base / path
        return beside if not path.is_absolute() and beside.exists() else path

    def batches(
        self, stage: str, batches: Sequence[T], ids: Callable[[T], Sequence[str]], work: Callable[[T], None],
        single: Callable[[T], Sequence[T]],
    ) -> None:  # fmt: skip
        """Do ``work`` for every batch that is not done, with a progress bar and a line in the ledger per item.

        A batch is the unit, so that a resumed run computes in the same batches as an unbroken one. If it fails, its
        items are tried one by one (``single``), and those that fail are noted with the reason; the rest goes on.
        """
        with self.progress(stage, sum(len(ids(b)) for b in batches)) as advance:
            for batch in batches:
                if all(self.run.ledger.state(self.task, stage, i) == "done" for i in ids(batch)):
                    advance(len(ids(batch)))
                    continue
                start = perf_counter()
                try:
                    work(batch)
                    self._done(stage, ids(batch), start)
                except PellucidError as error:
                    if isinstance(error, UsageError):
                        raise
                    for one in single(batch):
                        start = perf_counter()
                        try:
                            work(one)
                            self._done(stage, ids(one), start)
                        except PellucidError as fault:
                            self.failed(stage, ids(one)[0], fault)
                advance(len(ids(batch)))

    def failed(self, stage: str, item: str, error: Exception | str) -> None:
        """Note an item that could not be done."""
        self.run.ledger.record(self.task, stage, item, "failed", error=str(error))
        LOG.error("%s, %s: %s", self.task, stage, error)
        self.console.print(f"[yellow]{self.task}, {stage}:[/] {error}", highlight=False)

    def _done(self, stage: str, items: Iterable[str], start: float) -> None:
        items = list(items)
        for item in items:
            self.run.ledger.record(
                self.task, stage, item, "done", seconds=(perf_counter() - start) / max(1, len(items))
            )

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar that shows what is done and what is left."""
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self.console, disable=self.quiet, transient=True) as bar:
            task = bar.add_task(f"{self.task}: {what}", total=total)
            yield lambda n: bar.advance(task, n)
