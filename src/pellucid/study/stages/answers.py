"""What a run keeps of a classifier's thresholds and of how true its probabilities are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.engine.engine import Engine
from pellucid.study.context import Context
from pellucid.train import Trained
from pellucid.train.calibration import Calibration
from pellucid.train.reliability import calibration_measures

Answers = Tensor | Sequence[Tensor]
GIVEN = "given with the model, not chosen in this run"


def put_thresholds(context: Context, trained: Trained | None) -> None:
    """The table ``thresholds``: of the classes of a classifier, as chosen on validation or as given."""
    p = context.predictor
    if p.task != "classification" or p.activation == "identity":
        return
    table = trained.thresholds if trained is not None else None
    if table is None:
        table = pd.DataFrame(
            {"class": p.classes, "threshold": p.thresholds, "f1": np.nan, "positives": np.nan, "n": np.nan,
             "reason": GIVEN}
        )  # fmt: skip
    context.run.put_table("thresholds", context.task, table.astype({"positives": float, "n": float}))


def truth_and_output(engine: Engine, cases: Sequence[Case]) -> tuple[Answers, Answers]:
    """What :func:`~pellucid.train.performance` compares: truths and outputs, stacked.

    Of a model with windows lists of masks and predicted label maps: volumes may differ in size, and their logits
    would not fit in memory together.
    """
    truth = [torch.as_tensor(c.truth) for c in cases]
    if engine.predictor.windows is not None:
        return truth, [engine.label_map(engine.stack([c])) for c in cases]
    return torch.stack(truth), engine.predict(cases)


def calibration_tables(
    p: Predictor, truth: Answers, output: Answers, *, groups: Sequence[str], seed: int
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Measures and reliability curves of some cases, as trained (temperature 1) and with the model's temperature.

    None for a model that gives no probabilities of classes.
    """
    if p.task != "classification" or p.activation == "identity":
        return None
    assert isinstance(truth, Tensor)
    assert isinstance(output, Tensor)
    measures: list[pd.DataFrame] = []
    curves: list[pd.DataFrame] = []
    for temperature in dict.fromkeys((1.0, p.temperature)):
        found = calibration_measures(
            truth, output, activation=p.activation, classes=p.classes, temperature=temperature, groups=groups, seed=seed
        )
        for tables, table in zip((measures, curves), found):
            tables.append(table.assign(temperature=temperature))
    return pd.concat(measures, ignore_index=True), pd.concat(curves, ignore_index=True)


def fit_row(fitted: Calibration, part: str = "val") -> pd.DataFrame:
    """The fit of the temperature as a row beside the measures: ``value`` was fitted, ``temperature`` is used.

    ``part`` says on which cases: ``val``, or ``out_of_fold`` of a cross-validation.
    """
    row = {
        "part": part, "temperature": fitted.temperature, "metric": "temperature", "class": "all",
        "value": fitted.fitted, "low": fitted.low, "high": fitted.high, "by_chance": np.nan, "n": fitted.n, "bins": 0,
        "reason": fitted.reason and f"kept at 1: {fitted.reason}",
    }  # fmt: skip
    return pd.DataFrame([row])


def said(p: Predictor, output: Tensor) -> list[str]:
    """``0|1|0`` of independent labels: which are above their threshold; one without a threshold never is."""
    return ["|".join(str(int(v)) for v in row) for row in p.above(torch.as_tensor(output)).tolist()]
