"""Cross-validate a task's training, fold by fold where the runner says, then fit the final model on all of them."""

from __future__ import annotations

import json
import math
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pellucid.data import Folds
from pellucid.study.context import Context, Unfinished
from pellucid.study.crossval_fold import Fold, FoldWork, deal_folds, development
from pellucid.study.crossval_pool import Pooled, pool_folds
from pellucid.study.recipe import Work
from pellucid.study.runners import Item
from pellucid.study.stages.train import fit_shown, keep_trained
from pellucid.study.store import Run, write_text
from pellucid.train import Trained
from pellucid.train.unfreeze import within_epochs

STAGE = "train"


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """What a cross-validation found.

    Attributes:
        dealt: the folds.
        facts: of each fold, by its number from 1.
        metrics: of each fold's validation cases, by the column ``fold``.
        pooled: what the predictions of all folds together say.
        final: the model of all development cases; None where the recipe wants none.
    """

    dealt: Folds
    facts: dict[int, dict[str, Any]]
    metrics: pd.DataFrame
    pooled: Pooled
    final: Trained | None


def cross_validate(context: Context) -> CrossValidated:
    """Train every fold that is not done, then the final model for the mean number of epochs.

    The final model's thresholds and temperature are those of the out-of-fold predictions.

    Raises:
        Unfinished: a fold failed; those that are done are kept, and there is no final fit.
        InputError: fewer patients than folds, or folds that leak.
    """
    asked, run, task = context.work.cross_validation, context.run, context.task
    assert asked is not None
    dealt = deal_folds(context)
    failed = _train_folds(context, dealt)
    if failed:
        raise Unfinished(
            f"task {task}: {len(failed)} of {len(dealt)} folds failed ({', '.join(map(str, failed))}): there is no "
            "final fit, and nothing is done with its model; --resume tries them again"
        )
    facts = {n: json.loads(_facts_file(run, task, n).read_text("utf-8")) for n in range(1, len(dealt) + 1)}
    for name in ("folds", "fold_predictions"):
        run.merge(name, task)
    found = pool_folds(context.work, run.table("fold_predictions", task), development(context), context.recipe.seed)
    final = None
    if asked.final == "mean_epochs":
        epochs = mean_epochs([f["best epoch"] for f in facts.values()])
        last = replace(context, work=final_work(context.work, epochs))
        final = fit_shown(last, development(context), [], "train")
        if found.thresholds is not None:
            final.predictor.thresholds = tuple(found.thresholds["threshold"].tolist())
            final.predictor.temperature = found.temperature
        final = replace(final, thresholds=found.thresholds, calibration=found.calibration)
        keep_trained(last, final, development(context), [])
    return CrossValidated(dealt, facts, run.table("folds", task), found, final)


def mean_epochs(best: list[int]) -> int:
    """The mean of the folds' best epochs, counted from 1, rounded; a half goes up."""
    return max(1, math.floor(sum(best) / len(best) + 0.5))


def final_work(work: Work, epochs: int) -> Work:
    """The task with a training of exactly so many epochs, in which nothing is chosen on validation cases."""
    assert work.train is not None
    fixed: dict[str, Any] = {
        "epochs": epochs, "warmup": min(work.train.warmup, epochs), "patience": None, "delta": 0.0, "monitor": "loss",
        "calibrate": False,
    }  # fmt: skip
    if work.train.unfreeze is not None:
        fixed["unfreeze"] = within_epochs(work.train.unfreeze, epochs)
    return work.model_copy(update={"train": work.train.model_copy(update=fixed)})


def _train_folds(context: Context, dealt: Folds) -> list[int]:
    """Train the folds that are not done; the numbers of those that failed."""
    assert context.work.train is not None
    run, task, k, epochs = context.run, context.task, len(dealt), context.work.train.epochs
    wanted = [n for n in range(1, k + 1) if not _is_done(run, task, n)]
    shown, failed = dict.fromkeys(wanted, 0), []
    with context.progress(f"{k} folds (epochs)", k * epochs) as advance:
        advance((k - len(wanted)) * epochs)

        def report(key: str, record: Any) -> bool:
            advance(int(record["epoch"]) - shown[int(key)])
            shown[int(key)] = int(record["epoch"])
            return False

        items = [Item(str(n), n) for n in wanted]
        with closing(context.runner.map(FoldWork.of(context), items, report=report)) as ended:
            for over, done in enumerate(ended, 1):
                number = int(done.key)
                advance(epochs - shown[number])
                if done.value is None:
                    failed.append(number)
                    context.failed(STAGE, item_of(number), f"fold {number} of {k}: {done.reason}")
                    continue
                _keep(run, task, number, done.value)
                said = f"fold {number} of {k}: {_said(done.value)}; {len(wanted) - over} left"
                context.console.print(f"{task}: {said}", highlight=False)
    return sorted(failed)


def _said(fold: Fold) -> str:
    row, facts = fold.metrics.iloc[0], fold.facts
    return f"{row['metric']} {row['value']:.3f} on validation, best epoch {facts['best epoch']} of {facts['epochs']}"


def item_of(number: int) -> str:
    """How the ledger calls a fold."""
    return f"fold-{number:03d}"


def _facts_file(run: Run, task: str, number: int) -> Path:
    return run.folder / "parts" / "folds" / task / f"{item_of(number)}.json"


def _is_done(run: Run, task: str, number: int) -> bool:
    return run.ledger.state(task, STAGE, item_of(number)) == "done" and _facts_file(run, task, number).is_file()


def _keep(run: Run, task: str, number: int, fold: Fold) -> None:
    """Write what a fold found, so that it is not trained again."""
    run.put_part("folds", task, item_of(number), fold.metrics)
    run.put_part("fold_predictions", task, item_of(number), fold.predictions)
    write_text(_facts_file(run, task, number), json.dumps(fold.facts))
    run.ledger.record(task, STAGE, item_of(number), "done", seconds=fold.facts["seconds"])
