"""A runner gives every item's result, wherever it does them; what fails, fails alone."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pellucid.errors import UsageError
from pellucid.study.runners import Done, Item, LocalRunner, make_runner
from pellucid.study.runners.base import Runner
from pellucid.study.runners.ray import RayRunner
from runner_works import Odd


def done(runner: Runner, folder: Path, content: dict[str, Any]) -> tuple[dict[str, Done], list[tuple[str, Any]]]:
    told: list[tuple[str, Any]] = []
    items = [Item(key, c) for key, c in content.items()]
    found = list(runner.map(Odd(str(folder)), items, report=lambda key, c: bool(told.append((key, c)))))
    return {d.key: d for d in found}, told


def test_in_this_process(tmp_path: Path) -> None:
    found, told = done(LocalRunner(), tmp_path, {"a": 3, "c": "wrong", "e": 4})
    assert [(k, d.value, d.reason) for k, d in found.items()] == [
        ("a", 9, ""), ("c", None, "case p7: no picture; give one"), ("e", 16, ""),
    ]  # fmt: skip
    assert told == [(k, {"epoch": n}) for k in "ae" for n in (1, 2)]
    assert [p.name for p in tmp_path.iterdir()] == [f"open-{os.getpid()}"], "made ready once"
    with pytest.raises(UsageError, match="unknown network 'resnet'"):
        done(LocalRunner(), tmp_path, {"a": "misspelt", "b": 2})
    with pytest.raises(KeyError, match="never"):
        done(LocalRunner(), tmp_path, {"a": "bug"})
    assert done(LocalRunner(), tmp_path, {}) == ({}, [])


def test_in_another_process(tmp_path: Path) -> None:
    """As few processes as can be: each takes seconds to begin."""
    with LocalRunner(2).pool(Odd(str(tmp_path)), 1) as pool:
        for item in (Item("a", 3), Item("u", "misspelt"), Item("bug", "bug"), Item("c", "wrong"), Item("k", "killed")):
            pool.start(item)
        told: list[Any] = []
        ended = [pool.next(lambda key, content: bool(told.append((key, content)))) for _ in range(5)]
    a, u, bug, c, k = ended
    assert a == Done("a", 9)
    assert told == [("a", {"epoch": 1}), ("a", {"epoch": 2})]
    assert isinstance(u.fault, UsageError)
    assert str(bug.fault).startswith("in a worker:\n")
    assert "KeyError: 'never'" in str(bug.fault)
    assert (c.reason, c.lost) == ("case p7: no picture; give one", False)
    assert (k.reason, k.lost) == ("its process was ended by SIGKILL; was the memory used up?", True)
    assert [p.name for p in tmp_path.glob("open-*")] != [f"open-{os.getpid()}"]


class Told(Runner):
    """A pool that answers what it was given."""

    def __init__(self, *ends: Done) -> None:
        self.ends, self.started = list(ends), []

    @contextmanager
    def pool(self, work: Any, count: int) -> Iterator[Any]:
        yield self
        self.started.append("closed")

    def start(self, item: Item) -> None:
        self.started.append(item.key)

    def next(self, report: Any) -> Done:
        return self.ends.pop(0)


def test_an_item_whose_process_ended_is_begun_once_more() -> None:
    gone = Done("b", reason="its process is gone", lost=True)
    runner = Told(gone, Done("a", 9), gone, Done("c", 1))
    found = list(runner.map(Odd(""), [Item(key) for key in "abc"]))
    assert found == [Done("a", 9), gone, Done("c", 1)], "once more, and not for ever"
    assert runner.started == ["a", "b", "c", "b", "closed"]
    with pytest.raises(UsageError, match="all of them"):
        list(Told(Done("a", fault=UsageError("all of them"))).map(Odd(""), [Item("a"), Item("b")]))


def test_names_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_runner("local").jobs == 1
    assert make_runner("local", 3).jobs == 3
    with pytest.raises(UsageError, match="unknown runner 'rai'; did you mean 'ray'"):
        make_runner("rai")
    with pytest.raises(UsageError, match="0 jobs: give at least 1"):
        make_runner("local", 0)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install pellucid\[ray\]"):
        make_runner("ray")
    with pytest.raises(UsageError, match="give at least 1, 1 and 0"):
        RayRunner(2, cpus=0)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules.*:RuntimeWarning")  # it is run once more, without Ray
def test_ray_is_imported_only_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "RayRunner" in runpy.run_module("pellucid.study.runners.ray")
