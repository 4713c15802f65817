"""Which maps readers see, and in what order: drawn once, kept in the key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.attribution import Attribution
from pellucid.errors import UsageError, unknown
from pellucid.report.judge import is_control
from pellucid.study.store import Run

MOST_READERS = 99
MOST_REPEATED = 0.5  # of the maps: repeats have to lie far from the first reading


@dataclass(frozen=True, eq=False)
class Shown:
    """One map that is shown: of which patient it is, and the attribution itself."""

    group: str
    map: Attribution

    @property
    def key(self) -> tuple[str, str, int]:
        """Case, method, and the number of what is explained."""
        return self.map.case_id, self.map.method, int(self.map.target["index"])


def choose(run: Run, task: str, *, cases: int, methods: Sequence[str], seed: int) -> list[Shown]:
    """The maps of ``cases`` cases drawn at random, a patient's second one only when all patients have had their first.

    Of every case one of the things explained is drawn, and all methods are shown for it. The controls of the run are
    always among the methods.

    Raises:
        UsageError: no maps of pictures, a method that the run has not.
    """
    generator = np.random.default_rng([seed, 0])
    data = run.table("data", task)
    owner = dict(zip(data["case"], data["group"])) if "group" in data else {}
    found: list[Shown] = []
    known: set[str] = set()
    taken = 0
    for case in _in_turn(run.cases(task), owner, generator):
        maps = [a for a in run.attributions(task, case) if a.images]
        known |= {a.method for a in maps}
        wanted = [a for a in maps if not methods or a.method in methods or is_control(a.method)]
        targets = sorted({int(a.target["index"]) for a in wanted if not is_control(a.method)})
        if not targets:
            continue
        index = targets[int(generator.integers(len(targets)))]
        found += [Shown(str(owner.get(case) or case), a) for a in wanted if int(a.target["index"]) == index]
        taken += 1
        if taken == cases:
            break
    for method in methods:
        if method not in known:
            raise unknown("method", method, known)
    if not found:
        raise UsageError(f"task {task!r} of {run.folder} has no maps of pictures to show; run its stage explain first")
    return found


def order(n: int, *, repeat: float, generator: np.random.Generator) -> list[tuple[int, bool]]:
    """A reader's way through ``n`` maps: ``(which, whether it is seen again)``.

    A map that is repeated comes again after at least a third of all maps have been seen in between.
    """
    first = generator.permutation(n)
    again = min(round(repeat * n), _far(n))
    places: Any = generator.choice(_far(n), size=again, replace=False) if again else []
    steps = [(float(p), int(which), False) for p, which in enumerate(first)]
    steps += [(float(generator.uniform(p + n / 3 + 1, n + 1)), int(first[p]), True) for p in places]
    return [(which, repeated) for _, which, repeated in sorted(steps)]


def names_of(given: Iterable[str]) -> list[str]:
    """Names that were given one by one or separated by commas; a comma within brackets belongs to a name.

    Example:
        >>> names_of(["grad_cam,segx(grad_cam, top=0.1)", "lime"])
        ['grad_cam', 'segx(grad_cam, top=0.1)', 'lime']
    """
    parts = (part.strip() for text in given for part in re.split(r",(?![^(]*\))", text))
    return [part for part in parts if part]


def check(*, cases: int, readers: int, repeat: float) -> None:
    """Refuse what no study can be made of.

    Raises:
        UsageError: a number out of range.
    """
    if cases < 1:
        raise UsageError(f"--cases is {cases}; show at least 1")
    if not 1 <= readers <= MOST_READERS:
        raise UsageError(f"--readers is {readers}; give 1 to {MOST_READERS}")
    if not 0 <= repeat <= MOST_REPEATED:
        raise UsageError(f"--repeat is {repeat}; give a share of the maps from 0 to {MOST_REPEATED}")


def _far(n: int) -> int:
    """How many of the first places leave a third of the maps between a map and its repeat."""
    return max(0, 2 * n // 3 - 1) or min(n, 1)


def _in_turn(cases: Sequence[str], owner: dict[str, str], generator: np.random.Generator) -> list[str]:
    """Cases in random order, one of every patient, then the second ones."""
    shuffled = [cases[i] for i in generator.permutation(len(cases))]
    seen: dict[str, int] = {}
    turns = []
    for case in shuffled:
        group = str(owner.get(case) or case)
        turns.append(seen.get(group, 0))
        seen[group] = turns[-1] + 1
    return [case for _, case in sorted(zip(turns, shuffled), key=lambda pair: pair[0])]
