"""The predictions of all folds together: each case is said something of by a model that has not seen it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.study.recipe import Work
from pellucid.train import performance
from pellucid.train.answers import choose_answers
from pellucid.train.calibration import Calibration
from pellucid.train.performance import scored_table
from pellucid.train.scores import Column, Scored
from pellucid.train.weighted import average


@dataclass(frozen=True, eq=False)
class Pooled:
    """What the out-of-fold predictions say.

    Attributes:
        metrics: as :func:`~pellucid.train.performance` gives them, with intervals over patients.
        thresholds: of a classifier, chosen on them.
        temperature: the same; 1 unless the training is to be calibrated.
        calibration: its fit.
    """

    metrics: pd.DataFrame
    thresholds: pd.DataFrame | None = None
    temperature: float = 1.0
    calibration: Calibration | None = None


def pool_folds(work: Work, table: pd.DataFrame, cases: Sequence[Case], seed: int) -> Pooled:
    """Pool the folds.

    Args:
        work: the task.
        table: ``fold_predictions``.
        cases: that were cross-validated.
        seed: of the intervals.
    """
    m, calibrate = work.model, bool(work.train and work.train.calibrate)
    groups = {c.id: str(c.group) for c in cases}
    if m.task == "segmentation":
        by = table.groupby(["measure", "class"], sort=False)
        columns = tuple(_column(str(measure), str(of), own) for (measure, of), own in by)
        asked = [groups[c] for c in next(iter(by))[1]["case"]]
        return Pooled(scored_table(Scored(columns, macro=len(columns) > 2), asked, seed=seed))
    ids, output = outputs_of(table)
    by_id = {c.id: c for c in cases}
    truth = torch.stack([torch.as_tensor(by_id[i].truth) for i in ids])
    asked = [groups[i] for i in ids]
    # The outputs are there already: a model that hands on what it is given has its activation, classes and answers.
    p = Predictor(nn.Identity(), inputs=m.inputs[:1], task=m.task, classes=m.classes, activation=m.activation)
    thresholds, calibration = None, None
    if m.task == "classification" and p.activation != "identity":
        thresholds, calibration = choose_answers(p, truth, output, groups=asked, calibrate=calibrate, seed=seed)
    metrics = performance(
        truth, output, task=m.task, activation=p.activation, classes=p.classes, thresholds=p.thresholds,
        temperature=p.temperature, groups=asked, seed=seed,
    )  # fmt: skip
    return Pooled(metrics.drop(columns="stratum"), thresholds, p.temperature, calibration)


def outputs_of(table: pd.DataFrame) -> tuple[list[str], Tensor]:
    """Ids and outputs ``(N, K)`` of a table of predictions."""
    k = table["class"].nunique()
    values = table["output"].to_numpy(float).reshape(-1, k)
    return [str(i) for i in table["case"].to_numpy().reshape(-1, k)[:, 0]], torch.as_tensor(np.array(values))


def _column(metric: str, of: str, own: pd.DataFrame) -> Column:
    values = own["value"].to_numpy(float)
    return Column(metric, of, average, np.ones(len(values)), values, "neither there nor predicted")
