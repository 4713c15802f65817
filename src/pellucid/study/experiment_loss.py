"""What each case cost a model that had not seen it: one number a case, to compare two arms over patients by."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pellucid.core.predictor import Predictor
from pellucid.core.statistics import Array
from pellucid.study.recipe import Work

NAMES = {"classification": "log_loss", "regression": "mae", "segmentation": "dice"}
LEAST = 1e-7  # a probability of 0 for what is true costs 16, and not infinitely much


def case_losses(predictor: Predictor, predictions: pd.DataFrame) -> pd.DataFrame:
    """``fold``, ``case``, ``group`` and ``loss`` of each case of out-of-fold predictions.

    Of a classification the cross-entropy of the true class, or the mean over labels of their binary cross-entropies;
    of a regression the absolute error; of a segmentation the mean Dice over its classes (a score: higher is better).

    Args:
        predictor: what the outputs are of (its task and activation).
        predictions: as ``prediction_table`` makes them, of one or several folds.
    """
    if predictor.task == "segmentation":
        dice = predictions[predictions["measure"] == "dice"]
        return dice.groupby(["fold", "case", "group"], sort=False)["value"].mean().rename("loss").reset_index()
    k = predictions["class"].nunique()
    value = predictions["value"].to_numpy(float).reshape(-1, k)
    first = predictions.iloc[::k]
    truth = np.array([[float(v) for v in str(t).split("|")] for t in first["truth"]])
    loss: Array
    if predictor.task == "regression":
        loss = np.abs(value - truth).mean(1)
    elif predictor.activation == "softmax":
        chosen = value[np.arange(len(value)), truth[:, 0].astype(int)]
        loss = -np.log(np.clip(chosen, LEAST, 1))
    elif predictor.activation == "sigmoid":
        chosen = np.where(truth > 0.5, value, 1 - value)
        loss = -np.log(np.clip(chosen, LEAST, 1)).mean(1)
    else:
        loss = np.full(len(value), np.nan)
    return first[["fold", "case", "group"]].reset_index(drop=True).assign(loss=loss)


def loss_name(work: Work) -> str:
    """The metric that the mean of the losses is."""
    return NAMES[work.model.task]
