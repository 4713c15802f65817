"""Where the trials of a search are trained: in this process, or in several of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pellucid.study import runners
from pellucid.study.context import Context
from pellucid.study.elsewhere import TaskWork
from pellucid.study.runners.base import Do, Item, Tell
from pellucid.study.runners.base import Pool as Items
from pellucid.study.search_trial import Outcome, Record, train_trial

Report = Callable[[int, Record], bool]


@dataclass(frozen=True)
class Job:
    """A trial that is to be trained."""

    number: int
    params: Mapping[str, Any]
    folder: Path


class Pool(Protocol):
    """Something that trains trials."""

    def start(self, job: Job) -> None:
        """Take a trial on."""

    def next(self, report: Report) -> tuple[int, Outcome]:
        """Wait for a trial to end; meanwhile ``report`` is told the epochs of all, and says which ends early."""


class TrialWork(TaskWork):
    """Trains trials."""

    def open(self) -> Do:
        """With the cases of this process, or with a copy of them."""
        context = self.context()

        def do(job: Job, tell: Tell) -> Outcome:
            return train_trial(context, job.params, job.folder, tell)

        return do


class Trials:
    """A pool that trains trials."""

    def __init__(self, items: Items) -> None:
        self.items = items

    def start(self, job: Job) -> None:
        """Take a trial on."""
        self.items.start(Item(str(job.number), job))

    def next(self, report: Report) -> tuple[int, Outcome]:
        """Wait for a trial to end; one whose process is gone has failed."""
        done = self.items.next(lambda key, record: report(int(key), record))
        if done.fault is not None:
            raise done.fault
        return int(done.key), done.value or Outcome("failed", reason=done.reason)


@contextlib.contextmanager
def pool_of(context: Context, jobs: int) -> Iterator[Pool]:
    """Where the trials are trained."""
    with runners.LocalRunner(jobs).pool(TrialWork.of(context), jobs) as items:
        yield Trials(items)
