"""Many items of one work: what a runner does with them, wherever it does it."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from pellucid.errors import PellucidError, UsageError

Tell = Callable[[Any], bool]
"""What an item calls with how far it is; True asks it to end (a runner that cannot answer says False)."""
Do = Callable[[Any, Tell], Any]
"""Does one item: its content and whom to tell; gives a plain value."""
Report = Callable[[str, Any], bool]
"""What the caller gives: told an item's key and how far it is."""


class Work(Protocol):
    """What is done with every item. It travels to other processes, so it holds plain values only."""

    @property
    def device(self) -> str:
        """``auto``, ``cpu`` or ``cuda``: whether an item wants a GPU."""

    def open(self) -> Do:
        """Make ready, once in each process: load the cases, the model."""


@dataclass(frozen=True)
class Item:
    """One piece of work, known by its key."""

    key: str
    content: Any = None


@dataclass(frozen=True)
class Done:
    """How an item ended.

    Attributes:
        key: the item's.
        value: what came of it; None unless it was done.
        reason: why it failed, or empty.
        lost: whether its process ended under it.
        fault: an error that concerns the whole work; it is raised where the items are waited for.
    """

    key: str
    value: Any = None
    reason: str = ""
    lost: bool = False
    fault: Exception | None = None


class Pool(Protocol):
    """Something that does items side by side, or one after the other."""

    def start(self, item: Item) -> None:
        """Take an item on."""

    def next(self, report: Report) -> Done:
        """Wait for an item to end; meanwhile ``report`` is told of all of them."""


class Runner(ABC):
    """Does the items of a work; a new place to do them is one :meth:`pool`."""

    @abstractmethod
    def pool(self, work: Work, count: int) -> AbstractContextManager[Pool]:
        """A pool for ``count`` items at most, open as long as the block is."""

    def map(self, work: Work, items: Sequence[Item], *, report: Report | None = None) -> Generator[Done, None, None]:
        """Do all items, and give each as it ends, in whatever order that is.

        An item whose process ended under it (the memory was used up, somebody killed it) is begun once more, then it
        has failed. What the work raises as an error about the item fails that item alone; a UsageError, or a bug, is
        raised here and ends the others.
        """
        by_key = {item.key: item for item in items}
        assert len(by_key) == len(items), "keys are unique"
        if not items:
            return
        again: set[str] = set()
        with self.pool(work, len(items)) as pool:
            for item in items:
                pool.start(item)
            left = len(items)
            while left:
                done = pool.next(report or _unheard)
                if done.fault is not None:
                    raise done.fault
                if done.lost and done.key not in again:
                    again.add(done.key)
                    pool.start(by_key[done.key])
                    continue
                left -= 1
                yield done


def _unheard(_key: str, _content: Any) -> bool:
    return False


def do_one(do: Do, item: Item, tell: Tell) -> Done:
    """Do an item in this process; its own errors become the reason why it failed."""
    try:
        return Done(item.key, do(item.content, tell))
    except UsageError as error:
        return Done(item.key, fault=error)
    except (PellucidError, torch.cuda.OutOfMemoryError) as error:
        return Done(item.key, reason=str(error))


def opened(work: Work) -> tuple[Do | None, Exception | None]:
    """The work made ready, or why it cannot be."""
    try:
        return work.open(), None
    except PellucidError as error:
        return None, error
    except Exception:  # a bug of ours, told where the items are waited for, with the place where it happened
        return None, bug()


def bug() -> RuntimeError:
    """The error that is being handled, as one that travels between processes."""
    return RuntimeError(f"in a worker:\n{traceback.format_exc()}")
