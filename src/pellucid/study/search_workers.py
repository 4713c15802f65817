"""Where the trials of a search are trained: in this process, or in several of their own.

Processes and not threads: a training seeds torch's global random generator, so that two in one process would disturb
each other. They are spawned, because a fork of a process that has used torch's threads can hang. A worker holds its
own copy of the cases, keeps to one thread, and ends when the process that asked for it does, whatever ended that.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console

from pellucid.errors import PellucidError
from pellucid.study.context import Context
from pellucid.study.recipe import Recipe
from pellucid.study.search_trial import Outcome, Record, train_trial
from pellucid.study.store import Run

Report = Callable[[int, Record], bool]
PATIENCE = 20.0  # seconds that a worker has to stop between two batches


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


class Here:
    """In this process, one after the other."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.waiting: deque[Job] = deque()

    def start(self, job: Job) -> None:
        """Take a trial on."""
        self.waiting.append(job)

    def next(self, report: Report) -> tuple[int, Outcome]:
        """Train the first of those that wait."""
        job = self.waiting.popleft()
        return job.number, train_trial(self.context, job.params, job.folder, lambda r: report(job.number, r))


class Worker:
    """One process with its end of the line."""

    def __init__(self, context: Context) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.line, theirs = spawn.Pipe()
        plain = context.recipe.model_dump(mode="json")
        self.process = spawn.Process(
            target=_serve, args=(theirs, str(context.run.folder), plain, context.task, str(context.base)), daemon=True
        )
        self.process.start()
        theirs.close()  # ours alone are open now: when the worker ends, the line does
        self.job: Job | None = None


class Processes:
    """In up to ``jobs`` processes. Close it with :func:`several`."""

    def __init__(self, context: Context, jobs: int) -> None:
        self.context, self.jobs = context, jobs
        self.workers: list[Worker] = []
        self.waiting: deque[Job] = deque()

    def start(self, job: Job) -> None:
        """Take a trial on."""
        self.waiting.append(job)
        self._deal()

    def next(self, report: Report) -> tuple[int, Outcome]:
        """Wait for a trial to end, and answer the workers meanwhile."""
        while True:
            busy = {w.line: w for w in self.workers if w.job is not None}
            for line in wait(list(busy)):
                worker = busy[line]  # type: ignore[index]
                assert worker.job is not None
                number = worker.job.number
                try:
                    kind, content = worker.line.recv()
                    if kind == "epoch":
                        worker.line.send(report(number, content))
                        continue
                except (EOFError, OSError):
                    worker.process.join()
                    self.workers.remove(worker)
                    kind, content = "end", Outcome("failed", reason=_death(worker.process.exitcode))
                if kind == "fault":
                    raise content
                worker.job = None
                self._deal()
                return number, content

    def _deal(self) -> None:
        while self.waiting:
            idle = next((w for w in self.workers if w.job is None), None)
            if idle is None:
                if len(self.workers) >= self.jobs:
                    return
                idle = Worker(self.context)
                self.workers.append(idle)
            idle.job = self.waiting.popleft()
            idle.line.send(idle.job)

    def close(self) -> None:
        """End the workers: an idle one at once, a training one after its batch, or at once if that takes long."""
        for worker in self.workers:
            if worker.job is None:
                worker.process.terminate()
            elif worker.process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGINT)
            worker.line.close()
        for worker in self.workers:
            worker.process.join(PATIENCE)
            if worker.process.is_alive():
                worker.process.terminate()
                worker.process.join()


@contextlib.contextmanager
def pool_of(context: Context, jobs: int) -> Iterator[Pool]:
    """Where the trials are trained."""
    if jobs == 1:
        yield Here(context)
        return
    several = Processes(context, jobs)
    try:
        yield several
    finally:
        several.close()


def _serve(line: Connection, folder: str, recipe: dict[str, Any], task: str, base: str) -> None:
    """What a worker does: train what it is told to, until nobody tells it any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; a training listens to what the parent sends
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        loaded = Recipe.model_validate(recipe)
        work = next(w for w in loaded.tasks if w.name == task)
        context = Context(Run(folder), loaded, work, Path(base), Console(quiet=True), quiet=True, resume=True)
        while True:
            job: Job = line.recv()

            def report(record: Record) -> bool:
                line.send(("epoch", record))
                return bool(line.recv())

            line.send(("end", train_trial(context, job.params, job.folder, report)))
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        os._exit(0)  # the state is written; to take the libraries down in order would take seconds
    except PellucidError as error:
        line.send(("fault", error))
    except Exception:  # a bug of ours, told in the parent with the place where it happened
        line.send(("fault", RuntimeError(f"in a worker of the search:\n{traceback.format_exc()}")))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        return f"its process was ended by {name}" + ("; was the memory used up?" if name == "SIGKILL" else "")
    return f"its process ended with status {exitcode}"
