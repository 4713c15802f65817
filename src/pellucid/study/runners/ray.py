"""Items done as tasks of Ray, on this machine or on a cluster. Ray is imported only when it is asked for.

The run folder, the data and the recipe's files have to lie where every machine of the cluster finds them under the
same path, since a training keeps its state in the run folder.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pellucid.errors import UsageError
from pellucid.study.runners.base import Do, Done, Item, Pool, Report, Runner, Tell, Work, bug, do_one, opened

TICK = 0.5  # seconds between two looks at how far the items are
PATIENCE = 20.0  # seconds that an item has to stop between two batches


class RayRunner(Runner):
    """A Ray cluster: the one at ``address`` or in ``RAY_ADDRESS``, or one that is started here and ended at the end.

    Args:
        jobs: items at a time at most; as many as the cluster has room for if None.
        address: of a cluster that runs.
        cpus: of an item; it keeps to as many threads.
        gpus: of an item, 0.5 for two on one GPU; if None one, where the work wants a GPU and the cluster has any.

    Raises:
        UsageError: Ray is not installed, or numbers that cannot be.
    """

    def __init__(
        self, jobs: int | None = None, *, address: str | None = None, cpus: int = 1, gpus: float | None = None
    ) -> None:
        if (jobs is not None and jobs < 1) or cpus < 1 or (gpus is not None and gpus < 0):
            raise UsageError(f"{jobs} jobs of {cpus} CPUs and {gpus} GPUs: give at least 1, 1 and 0")
        self.jobs, self.cpus, self.gpus = jobs, cpus, gpus
        self.address = address or os.environ.get("RAY_ADDRESS")
        self.ray = import_ray()

    @contextmanager
    def pool(self, work: Work, count: int) -> Iterator[Pool]:
        """Tasks of the cluster."""
        ours = not self.ray.is_initialized()
        old = signal.getsignal(signal.SIGTERM)
        if ours:
            self._connect()
        try:
            pool = RayPool(self.ray, work, self._room(count), self.cpus, self._gpus(work))
            try:
                yield pool
            finally:
                pool.close()
        finally:
            if ours:
                self.ray.shutdown()
                if threading.current_thread() is threading.main_thread():
                    signal.signal(signal.SIGTERM, old)  # Ray has put its own in place

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address and self.address != "local":
            try:
                self.ray.init(address=self.address, **quiet)
            except (ConnectionError, ValueError) as error:
                raise UsageError(
                    f"no Ray cluster at {self.address} ({str(error).splitlines()[0]}); start one, or leave RAY_ADDRESS "
                    "out to have one started here"
                ) from error
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning about a change to come
        cpus = None if self.jobs is None else self.jobs * self.cpus
        self.ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)

    def _room(self, count: int) -> int:
        there = int(self.ray.cluster_resources().get("CPU", 1) // self.cpus)
        if there < 1:
            raise UsageError(f"an item asks for {self.cpus} CPUs, the Ray cluster has fewer; ask for fewer")
        return min(count, there, self.jobs or there)

    def _gpus(self, work: Work) -> float:
        there = self.ray.cluster_resources().get("GPU", 0)
        wanted = 1.0 if work.device == "cuda" or (work.device == "auto" and there) else 0.0
        asked: float = wanted if self.gpus is None else self.gpus
        if asked > there:
            raise UsageError(f"an item asks for {asked:g} GPUs, the Ray cluster has {there:g}; set device: cpu")
        return asked


class RayPool:
    """Tasks of a cluster, ``jobs`` at a time."""

    def __init__(self, ray: Any, work: Work, jobs: int, cpus: int, gpus: float) -> None:
        self.ray, self.jobs, self.cpus = ray, jobs, cpus
        self.work, self.token = ray.put(work), uuid.uuid4().hex
        self.task = ray.remote(_task).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
        self.board = ray.remote(_board()).options(num_cpus=0).remote()
        self.flying: dict[Any, Item] = {}
        self.waiting: deque[Item] = deque()

    def start(self, item: Item) -> None:
        """Take an item on."""
        self.waiting.append(item)
        self._deal()

    def next(self, report: Report) -> Done:
        """Wait for an item to end; what ``report`` answers does not reach the items."""
        wrong = self.ray.exceptions
        while True:
            ready, _ = self.ray.wait(list(self.flying), num_returns=1, timeout=TICK)
            for key, content in self.ray.get(self.board.taken.remote()):
                report(key, content)
            if not ready:
                continue
            item = self.flying.pop(ready[0])
            try:
                done: Done = self.ray.get(ready[0])
            except (wrong.WorkerCrashedError, wrong.OutOfMemoryError, wrong.NodeDiedError) as error:
                what = "the memory was used up" if isinstance(error, wrong.OutOfMemoryError) else "it was ended"
                done = Done(item.key, reason=f"its process is gone: {what}", lost=True)
            self._deal()
            return done

    def _deal(self) -> None:
        while self.waiting and len(self.flying) < self.jobs:
            item = self.waiting.popleft()
            self.flying[self.task.remote(self.work, self.token, item, self.board, self.cpus)] = item

    def close(self) -> None:
        """Ask what is not done to stop after its batch, and wait for it."""
        self.waiting.clear()
        for ref in self.flying:
            self.ray.cancel(ref, force=False)
        if self.flying:
            self.ray.wait(list(self.flying), num_returns=len(self.flying), timeout=PATIENCE)
            for ref in self.flying:
                self.ray.cancel(ref, force=True)
        self.ray.kill(self.board)


def _board() -> type:
    """The class of the actor on which items write how far they are.

    Made in here, it travels whole: a class of this module would have the actor's process import all of Pellucid.
    """

    class Board:
        def __init__(self) -> None:
            self.told: list[Any] = []

        def add(self, key: str, content: Any) -> None:
            self.told.append((key, content))

        def taken(self) -> list[Any]:
            told, self.told = self.told, []
            return told

    return Board


_OPEN: dict[str, tuple[Do | None, Exception | None]] = {}  # a process of Ray's serves many items of one work


def _task(work: Work, token: str, item: Item, board: Any, cpus: int) -> Done:
    """One item, in a process of Ray's."""
    torch.set_num_threads(cpus)
    if token not in _OPEN:
        _OPEN.clear()
        _OPEN[token] = opened(work)
    do, fault = _OPEN[token]
    tell: Tell = lambda content: bool(board.add.remote(item.key, content) is None)  # noqa: E731  never True
    try:
        return Done(item.key, fault=fault) if do is None else do_one(do, item, tell)
    except Exception:  # a bug of ours
        return Done(item.key, fault=bug())


def import_ray() -> Any:
    """Ray.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UsageError(
            f"the runner 'ray' needs Ray, which cannot be imported ({error}); pip install pellucid[ray]"
        ) from error
