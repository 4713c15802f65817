"""One fold of a cross-validation: a training whose validation cases were held out of it, and what it says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.data import Folds, folds
from pellucid.engine.engine import Engine
from pellucid.study.context import LOG, Context
from pellucid.study.elsewhere import TaskWork
from pellucid.study.runners.base import Do, Tell
from pellucid.study.stages.answers import Answers, truth_and_output
from pellucid.study.stages.train import fit_task, predictions
from pellucid.train import Trained, performance
from pellucid.train.recorded import recorded
from pellucid.train.scores import segmentation


@dataclass(frozen=True)
class Fold:
    """What came of a fold: plain values and tables, which travel between processes.

    Attributes:
        facts: numbers about the training, for ``results.json``.
        metrics: of the validation cases, as :func:`~pellucid.train.performance` gives them.
        predictions: of the validation cases.
    """

    facts: dict[str, Any]
    metrics: pd.DataFrame
    predictions: pd.DataFrame


class FoldWork(TaskWork):
    """Trains folds."""

    def open(self) -> Do:
        """With the cases of this process, or with a copy of them."""
        context = self.context()
        dealt = Folds.load(folds_file(context), development(context), test=context.part("test"))

        def do(number: int, tell: Tell) -> Fold:
            return train_fold(context, dealt, number, tell)

        return do


def folder_of(context: Context) -> Path:
    """Where the folds and the results of a task lie."""
    return context.run.folder / "cross_validation" / context.task


def folds_file(context: Context) -> Path:
    """The file of the folds, which is obeyed from then on."""
    return folder_of(context) / "folds.json"


def development(context: Context) -> list[Case]:
    """The cases that are cross-validated: all but the test side."""
    return [*context.part("train"), *context.part("val")]


def deal_folds(context: Context) -> Folds:
    """The folds of a task: those that its run has, or new ones. They are checked either way.

    Raises:
        InputError: fewer patients than folds, or a file of folds that leaks or is of other cases.
    """
    asked, path = context.work.cross_validation, folds_file(context)
    assert asked is not None
    cases, test = development(context), context.part("test")
    if path.is_file() and context.resume:
        return Folds.load(path, cases, test=test)
    dealt = folds(cases, asked.folds, context.recipe.seed if asked.seed is None else asked.seed, test=test)
    for note in dealt.notes:
        LOG.warning("%s, folds: %s", context.task, note)
        context.console.print(f"[yellow]{context.task}, folds:[/] {note}", highlight=False)
    dealt.save(path)
    return dealt


def train_fold(context: Context, dealt: Folds, number: int, tell: Tell) -> Fold:
    """Train fold ``number`` (from 1), going on from its state if there is one, and ask it about its validation cases.

    Statistics, class weights and oversampling are of its training cases; the epoch that is kept, the thresholds and
    the temperature are chosen on its validation cases. The test side is not asked for.
    """
    train, val = dealt[number - 1]
    out = context.run.folder / "parts" / "training" / f"{context.task}-folds" / f"fold-{number:03d}"
    return measured(context, fold_training(context, train, val, tell, out=out), train, val, number)


def fold_training(
    context: Context, train: list[Case], val: list[Case], tell: Tell, *, out: Path
) -> Trained:
    """The training of a fold, with its state in ``out``."""
    if context.resume:
        for record in recorded(out):
            tell(record)
    return fit_task(context, train, val, out=out, progress=lambda record: _tell(tell, record))


def measured(context: Context, trained: Trained, train: list[Case], val: list[Case], number: int) -> Fold:
    """What a fold's model says of its validation cases."""
    p = trained.predictor
    engine = Engine(p, device=context.recipe.device, precision=context.recipe.precision)
    truth, output = truth_and_output(engine, val)
    table = performance(
        truth, output, task=p.task, activation=p.activation, classes=p.classes, thresholds=p.thresholds,
        temperature=p.temperature, groups=[str(c.group) for c in val], seed=context.recipe.seed,
    )  # fmt: skip
    tables = table.drop(columns="stratum"), prediction_table(p, val, truth, output)
    for found in tables:
        found.insert(0, "fold", number)
    return Fold(_facts(trained, train, val), *tables)


def _tell(tell: Tell, record: dict[str, float]) -> None:
    tell(record)  # a fold is not ended early from outside


def _facts(trained: Trained, train: list[Case], val: list[Case]) -> dict[str, Any]:
    p, history = trained.predictor, trained.history
    return {
        "best epoch": trained.best_epoch, "epochs": len(history), "stopped early": trained.stopped_early,
        "train": sizes(train), "validation": sizes(val),
        "thresholds": None if trained.thresholds is None else dict(zip(p.classes, p.thresholds)),
        "temperature": p.temperature, "seconds": float(history["seconds"].sum()),
        "history": {k: history[k].tolist() for k in ("train_loss", "val_loss", "val_metric")},
        "metric": trained.metric,
    }  # fmt: skip


def sizes(cases: list[Case]) -> dict[str, int]:
    """How many cases and patients."""
    return {"cases": len(cases), "patients": len({str(c.group) for c in cases})}


def prediction_table(p: Predictor, cases: Sequence[Case], truth: Answers, output: Answers) -> pd.DataFrame:
    """A row per case and output; of a segmentation, per case, class and measure."""
    groups = {c.id: str(c.group) for c in cases}
    if p.task == "segmentation" or not isinstance(output, torch.Tensor):
        rows = [
            {"case": c.id, "truth": "", "predicted": "", "class": column.of, "measure": column.metric, "value": value}
            for column in segmentation(truth, output, p.classes, p.thresholds).columns
            for c, value in zip(cases, column.predicted)
        ]
        frame = pd.DataFrame(rows).assign(output=np.nan)
    else:
        frame = pd.DataFrame(predictions(p, "", cases, output)).drop(columns="part")
        measure = "score" if p.task == "regression" else "probability"
        frame = frame.assign(measure=measure, output=output.double().reshape(-1).numpy())
    frame.insert(1, "group", frame["case"].map(groups))
    return frame
