"""The trials of a search in an SQLite file, so that they come out alike however often the search is stopped.

Optuna (`akiba2019optuna`) proposes and remembers. One process alone asks and tells; those that train do not know the
file. Three rules make a search with given ``jobs`` repeatable, whatever ends first and wherever it is killed:

- Each trial is proposed with a seed of its own.
- Trial n is proposed when exactly the trials up to n − jobs are told, and results are told in the order of the trials.
- A trial is pruned against those that were told when it began, not against those that happen to have ended since.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError

from pellucid.errors import InputError, UsageError
from pellucid.study.search_objective import Direction
from pellucid.study.search_space import Choices, Space, suggest
from pellucid.study.search_trial import Outcome, Record

STATES = {
    "complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL,
}  # fmt: skip
STARTUP = 5  # complete trials before one is pruned


class Study:
    """What was asked and what came of it.

    Args:
        path: of the SQLite file; made if it is not there.
        name: the task's.
        identity: what the trials depend on; another one is refused; None asks for nothing.
        direction: ``minimize`` or ``maximize``.
        by: what is compared between trials at each epoch, and its direction.
        space: the settings.
        sampler: ``grid`` or ``tpe``.
        prune: whether a trial may be ended early.
        seed: of the proposals.
        jobs: trials at a time.

    Raises:
        UsageError: a search of another recipe.
        InputError: not a search database.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        identity: Mapping[str, Any] | None,
        direction: Direction,
        by: tuple[str, Direction],
        space: Space,
        sampler: str,
        prune: bool,
        seed: int,
        jobs: int,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.path, self.space, self.sampler, self.seed, self.jobs = path, space, sampler, seed, jobs
        self.by, self.prune = by, prune
        self._trials: dict[int, optuna.Trial] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            storage = optuna.storages.RDBStorage(URL.create("sqlite", database=str(path)).render_as_string())
            names = [s.study_name for s in optuna.get_all_study_summaries(storage, include_best_trial=False)]
            if names and names != [name]:
                raise UsageError(
                    f"{path} is the search of another recipe (task {names[0]!r}, not {name!r}); use another --out"
                )
            self.study = optuna.create_study(
                storage=storage, study_name=name, direction=direction, load_if_exists=True, sampler=_idle()
            )
            if identity is not None:
                self._check(identity)
        except DatabaseError as error:
            raise InputError(f"{path} is no search database ({error.orig}); delete it to search anew") from error

    @property
    def trials(self) -> Sequence[FrozenTrial]:
        """All trials, in order."""
        return self.study.get_trials(deepcopy=False)

    def ask(self, number: int) -> dict[str, Any]:
        """The settings of a new trial, or of one that was stopped in the middle."""
        known = self.trials
        self.study.sampler = self._sampler(number)
        if number < len(known):  # taken up again: what was suggested stays
            trial = optuna.Trial(self.study, known[number]._trial_id)
        else:
            trial = self.study.ask()
        if trial.number != number:
            raise UsageError(f"{self.path}: another process writes to this search; let it end first")
        params = suggest(trial, self.space)
        trial.set_user_attr("params", params)
        self.study.sampler = _idle()
        self._trials[number] = trial
        return params

    def report(self, number: int, record: Record) -> bool:
        """Remember an epoch; True if the trial should end here."""
        name, direction = self.by
        epoch = int(record["epoch"])
        if epoch not in self.trials[number].intermediate_values:
            self._trials[number].report(record[name], step=epoch)
        if not self.prune:
            return False
        earlier: Any = _Earlier(self.study, number - self.jobs, direction)  # all of a study that the pruner asks for
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP).prune(earlier, self.trials[number])

    def tell(self, number: int, outcome: Outcome) -> None:
        """Remember how a trial ended."""
        trial = self._trials.pop(number)
        for key in ("history", "best_epoch", "reason"):
            trial.set_user_attr(key, getattr(outcome, key))
        trial.set_user_attr("seconds", outcome.seconds)
        self.study.tell(number, outcome.value, state=STATES[outcome.state])

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        if self.sampler == "grid":
            lists = {k: s.labels for k, s in self.space.items() if isinstance(s, Choices)}
            return optuna.samplers.GridSampler(lists, seed=self.seed)
        seed = (self.seed * 1_000_003 + number) % 2**32
        return optuna.samplers.TPESampler(seed=seed, multivariate=False, constant_liar=True)

    def _check(self, identity: Mapping[str, Any]) -> None:
        kept = self.study.user_attrs.get("identity")
        now = json.loads(json.dumps(identity))
        if kept is None:
            self.study.set_user_attr("identity", now)
        elif kept != now:
            before, after = _flat(kept), _flat(now)
            changed = [
                f"{k} was {before.get(k)!r}, now {after.get(k)!r}"
                for k in sorted({*before, *after}) if before.get(k) != after.get(k)
            ]  # fmt: skip
            raise UsageError(
                f"{self.path} is the search of another recipe ({'; '.join(changed[:3])}); go back to that, use another "
                "--out, or delete the file to search anew"
            )


@contextmanager
def alone(path: Path, what: str = "a search of this task") -> Iterator[None]:
    """Hold ``path`` while a search (or ``what`` else) runs: a second one is refused, and a dead process holds nothing.

    SQLite's own lock does it: the system lets go of it however the process ends, so a trial that is marked as running
    while nobody holds it was stopped in the middle.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = sqlite3.connect(path, timeout=1, isolation_level=None)
    try:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise UsageError(f"{path.parent}: {what} is running there; let it end first") from error
        yield
    finally:
        lock.close()


class _Earlier:
    """A study as a trial finds it when it begins: the trials up to ``last``."""

    def __init__(self, study: optuna.Study, last: int, direction: Direction) -> None:
        self.study, self.last = study, last
        self.direction = StudyDirection.MAXIMIZE if direction == "maximize" else StudyDirection.MINIMIZE

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        return [t for t in self.study.get_trials(deepcopy=deepcopy, states=states) if t.number <= self.last]


def _idle() -> optuna.samplers.BaseSampler:
    """What the study holds between two questions; a grid's sampler would stop the study at its last point."""
    return optuna.samplers.RandomSampler(seed=0)


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {k: v for key, part in value.items() for k, v in _flat(part, f"{name}.{key}" if name else key).items()}
