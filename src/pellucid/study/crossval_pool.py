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
from pellucid.train.performance import least_of, scored_table
from pellucid.train.scores import Column, Scored, classification, regression
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
    m = work.model
    if m.task == "segmentation":
        scored, asked = _overlaps(table, cases)
        return Pooled(scored_table(scored, asked, seed=seed))
    said = _answers(work, table, cases, seed)
    p = said.predictor
    metrics = performance(
        said.truth, said.output, task=m.task, activation=p.activation, classes=p.classes, thresholds=p.thresholds,
        temperature=p.temperature, min_positives=work.evaluate.min_positives, groups=said.groups, seed=seed,
    )  # fmt: skip
    return Pooled(metrics.drop(columns="stratum"), said.thresholds, p.temperature, said.calibration)


def scored_folds(work: Work, table: pd.DataFrame, cases: Sequence[Case], seed: int) -> tuple[Scored, list[str]]:
    """What :func:`pool_folds` measures, before it is measured: the columns, and the patient of each case."""
    if work.model.task == "segmentation":
        return _overlaps(table, cases)
    said = _answers(work, table, cases, seed)
    p = said.predictor
    if work.model.task == "regression":
        return regression(said.truth, said.output, p.classes), said.groups
    least = least_of(work.evaluate.min_positives)
    return classification(
        said.truth, said.output, p.activation, p.classes, p.thresholds, p.temperature, least
    ), said.groups


@dataclass(frozen=True, eq=False)
class _Said:
    """The outputs of all folds, and what was chosen on them."""

    predictor: Predictor
    truth: Tensor
    output: Tensor
    groups: list[str]
    thresholds: pd.DataFrame | None = None
    calibration: Calibration | None = None


def _answers(work: Work, table: pd.DataFrame, cases: Sequence[Case], seed: int) -> _Said:
    m, calibrate = work.model, bool(work.train and work.train.calibrate)
    ids, output = outputs_of(table)
    by_id = {c.id: c for c in cases}
    truth = torch.stack([torch.as_tensor(by_id[i].truth) for i in ids])
    groups = [str(by_id[i].group) for i in ids]
    # The outputs are there already: a model that hands on what it is given has its activation, classes and answers.
    names = m.inputs[:1] or ["output"]
    p = Predictor(nn.Identity(), inputs=names, task=m.task, classes=m.classes, activation=m.activation)
    if m.task != "classification" or p.activation == "identity":
        return _Said(p, truth, output, groups)
    return _Said(p, truth, output, groups, *choose_answers(
        p, truth, output, groups=groups, calibrate=calibrate, seed=seed
    ))  # fmt: skip


def _overlaps(table: pd.DataFrame, cases: Sequence[Case]) -> tuple[Scored, list[str]]:
    groups = {c.id: str(c.group) for c in cases}
    by = table.groupby(["measure", "class"], sort=False)
    columns = tuple(_column(str(measure), str(of), own) for (measure, of), own in by)
    return Scored(columns, macro=len(columns) > 2), [groups[c] for c in next(iter(by))[1]["case"]]


def outputs_of(table: pd.DataFrame) -> tuple[list[str], Tensor]:
    """Ids and outputs ``(N, K)`` of a table of predictions."""
    k = table["class"].nunique()
    values = table["output"].to_numpy(float).reshape(-1, k)
    return [str(i) for i in table["case"].to_numpy().reshape(-1, k)[:, 0]], torch.as_tensor(np.array(values))


def _column(metric: str, of: str, own: pd.DataFrame) -> Column:
    values = own["value"].to_numpy(float)
    return Column(metric, of, average, np.ones(len(values)), values, "neither there nor predicted")
