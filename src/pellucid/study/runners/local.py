"""Items done in this process, or in several of this machine.

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
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait

import torch

from pellucid.errors import UsageError
from pellucid.study.runners.base import Do, Done, Item, Pool, Report, Runner, Work, bug, do_one, opened

PATIENCE = 20.0  # seconds that a worker has to stop between two batches


class LocalRunner(Runner):
    """This machine.

    Args:
        jobs: 1 is this process; more are as many processes, each with its own copy of the cases.
    """

    def __init__(self, jobs: int = 1) -> None:
        if jobs < 1:
            raise UsageError(f"{jobs} jobs: give at least 1")
        self.jobs = jobs

    @contextlib.contextmanager
    def pool(self, work: Work, count: int) -> Iterator[Pool]:
        """In this process, or in as many as there are items for."""
        if self.jobs == 1:
            yield Here(work)
            return
        several = Processes(work, min(self.jobs, count))
        try:
            yield several
        finally:
            several.close()


class Here:
    """In this process, one after the other."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.do: Do | None = None
        self.waiting: deque[Item] = deque()

    def start(self, item: Item) -> None:
        """Take an item on."""
        self.waiting.append(item)

    def next(self, report: Report) -> Done:
        """Do the first of those that wait."""
        item = self.waiting.popleft()
        self.do = self.do or self.work.open()
        return do_one(self.do, item, lambda content: report(item.key, content))


class Worker:
    """One process with its end of the line."""

    def __init__(self, work: Work) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.line, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()  # ours alone are open now: when the worker ends, the line does
        self.item: Item | None = None


class Processes:
    """In up to ``jobs`` processes. Close it when done."""

    def __init__(self, work: Work, jobs: int) -> None:
        self.work, self.jobs = work, jobs
        self.workers: list[Worker] = []
        self.waiting: deque[Item] = deque()

    def start(self, item: Item) -> None:
        """Take an item on."""
        self.waiting.append(item)
        self._deal()

    def next(self, report: Report) -> Done:
        """Wait for an item to end, and answer the workers meanwhile."""
        while True:
            busy = {w.line: w for w in self.workers if w.item is not None}
            for line in wait(list(busy)):
                worker = busy[line]  # type: ignore[index]
                assert worker.item is not None
                key = worker.item.key
                try:
                    kind, content = worker.line.recv()
                    if kind == "told":
                        worker.line.send(report(key, content))
                        continue
                except (EOFError, OSError):
                    worker.process.join()
                    self.workers.remove(worker)
                    content = Done(key, reason=_death(worker.process.exitcode), lost=True)
                worker.item = None
                self._deal()
                return content

    def _deal(self) -> None:
        while self.waiting:
            idle = next((w for w in self.workers if w.item is None), None)
            if idle is None:
                if len(self.workers) >= self.jobs:
                    return
                idle = Worker(self.work)
                self.workers.append(idle)
            idle.item = self.waiting.popleft()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is dead: waiting for it finds out
                idle.line.send(idle.item)

    def close(self) -> None:
        """End the workers: an idle one at once, a training one after its batch, or at once if that takes long."""
        for worker in self.workers:
            if worker.item is None:
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


def _serve(line: Connection, work: Work) -> None:
    """What a worker does: the items that it is told to, until nobody tells it any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; a training listens to what the parent sends
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)

    def tell(content: object) -> bool:
        line.send(("told", content))
        return bool(line.recv())

    try:
        do, fault = opened(work)
        while True:
            item: Item = line.recv()
            try:
                done = Done(item.key, fault=fault) if do is None else do_one(do, item, tell)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise
            except Exception:  # a bug of ours
                done = Done(item.key, fault=bug())
            line.send(("end", done))
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        os._exit(0)  # the state is written; to take the libraries down in order would take seconds


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
