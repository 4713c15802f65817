"""One trial of a search: a training with some settings changed, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from pellucid.engine.engine import Engine
from pellucid.errors import InputError, PellucidError
from pellucid.study.context import Context
from pellucid.study.search_objective import BY_EPOCH
from pellucid.study.search_space import applied
from pellucid.study.stages.answers import truth_and_output
from pellucid.study.stages.train import fit_task, parts_of
from pellucid.train import Trained, performance
from pellucid.train.recorded import recorded

Record = dict[str, float]


class Pruned(Exception):  # noqa: N818  (an ending, not an error)
    """The trial is behind the others; it is not trained to its end."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: ``complete``, ``pruned`` or ``failed``.
        value: of the objective, in the epoch that is kept; None unless complete.
        history: a record for each epoch.
        best_epoch: the one that is kept, counted from 1; 0 unless complete.
        reason: why it failed.
    """

    state: Literal["complete", "pruned", "failed"]
    value: float | None = None
    history: tuple[Record, ...] = ()
    best_epoch: int = 0
    reason: str = ""

    @property
    def seconds(self) -> float:
        """Of training."""
        return sum(r["seconds"] for r in self.history)


def train_trial(
    context: Context, params: Mapping[str, Any], folder: Path, report: Callable[[Record], bool]
) -> Outcome:
    """Train on the training cases, judge on the validation cases; the test cases are not asked for.

    Args:
        context: of the task, with its ``search`` section.
        params: the settings of this trial.
        folder: where its state is kept; a state that is there is gone on from.
        report: told each epoch's record; True ends the trial.
    """
    search = context.work.search
    assert search is not None
    seen: list[Record] = []

    def listen(record: Record) -> None:
        seen.append(record)
        if report(record):
            raise Pruned

    try:
        work = applied(context.work, dict(params) | _fixed(context))
        for record in recorded(folder):
            listen(record)
        trained = fit_task(replace(context, work=work), *parts_of(context), out=folder, progress=listen)
        value = _value(context, search.objective, trained)
    except Pruned:
        return Outcome("pruned", history=tuple(seen))
    except (PellucidError, torch.cuda.OutOfMemoryError) as error:
        return Outcome("failed", history=tuple(seen), reason=str(error))
    return Outcome("complete", value, tuple(seen), trained.best_epoch)


def _fixed(context: Context) -> dict[str, Any]:
    """Settings of every trial: the search's epochs, and one device, since trials run side by side."""
    assert context.work.search is not None
    epochs = context.work.search.epochs
    return ({"epochs": epochs} if epochs else {}) | {"devices": 1}


def _value(context: Context, objective: str, trained: Trained) -> float:
    """The objective on the validation cases, of the weights that are kept."""
    if objective in BY_EPOCH:
        value, reason = float(trained.history[objective].iloc[trained.best_epoch - 1]), "it is not a number"
    else:
        cases, p = context.part("val"), trained.predictor
        engine = Engine(p, device=context.recipe.device, precision=context.recipe.precision)
        table = performance(
            *truth_and_output(engine, cases), task=p.task,
            activation=p.activation, classes=p.classes, thresholds=p.thresholds, temperature=p.temperature,
            n_boot=1,
        )  # fmt: skip
        row = table[table["metric"] == objective].iloc[0]
        value, reason = float(row["value"]), str(row["reason"])
    if not math.isfinite(value):
        raise InputError(f"{objective} of the validation cases is undefined: {reason}")
    return value
