"""From a trained classifier's outputs to its answers: temperature and thresholds, both chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from torch import Tensor

from pellucid.core.predictor import Predictor
from pellucid.errors import UsageError
from pellucid.train.calibration import Calibration, fit_temperature
from pellucid.train.thresholds import threshold_table


def choose_answers(
    predictor: Predictor,
    truth: Tensor,
    output: Tensor,
    *,
    groups: Sequence[str] | None = None,
    calibrate: bool = False,
    seed: int = 0,
) -> tuple[pd.DataFrame, Calibration | None]:
    """Give a classifier its temperature (if ``calibrate``) and then its thresholds, which are of what comes out.

    Args:
        predictor: is changed: ``temperature`` and ``thresholds``.
        truth: of the validation cases, ``(N,)`` or ``(N, K)``.
        output: their logits ``(N, K)`` or ``(N,)``.
        groups: of each case, normally the patient.
        calibrate: fit a temperature.
        seed: of its interval.

    Returns:
        The table of :func:`~pellucid.train.thresholds.threshold_table`, and the fit of the temperature.

    Raises:
        UsageError: the outputs are no logits (activation ``"identity"``).
    """
    if predictor.activation == "identity":
        raise UsageError("thresholds are of probabilities; a classifier needs the activation 'softmax' or 'sigmoid'")
    logits = output.detach().cpu().double().reshape(len(output), -1)
    fitted = None
    if calibrate:
        fitted = fit_temperature(truth, logits, activation=predictor.activation, groups=groups, seed=seed)
        predictor.temperature = fitted.temperature
    table = threshold_table(truth, predictor.probabilities(logits), classes=predictor.classes)
    predictor.thresholds = tuple(table["threshold"].tolist())
    return table, fitted
