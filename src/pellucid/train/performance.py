"""How good a model is on cases that it has not seen, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import UsageError
from pellucid.train.draws import interval, patient_draws
from pellucid.train.scores import Scored, classification, regression, segmentation
from pellucid.types import Activation, Task

COLUMNS = ["stratum", "metric", "class", "value", "low", "high", "n", "reason"]


def performance(
    truth: Tensor | Sequence[Tensor],
    output: Tensor | Sequence[Tensor],
    *,
    task: Task,
    activation: Activation | None = None,
    classes: Sequence[str] = (),
    groups: Sequence[str] | None = None,
    thresholds: Sequence[float] | None = None,
    temperature: float = 1.0,
    by: Sequence[str] | None = None,
    min_positives: int = 1,
    n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Metrics of a model's outputs, each with a bootstrap 95 % interval.

    The bootstrap draws groups (patients) with replacement, a case's prediction and truth together; the interval is
    from the 2.5 to the 97.5 % quantile. With two exclusive classes, the second is the positive one and the only
    one reported; with more, and with several labels, each class is set against the rest, after their mean (class
    ``"macro"``). The first row of a metric is the one to quote.

    Metrics: ``accuracy balanced_accuracy auroc auprc f1 precision sensitivity specificity`` (classification),
    ``mae rmse pearson r2`` (regression), ``dice iou`` (segmentation: per case, then the mean; a case where a class is
    neither there nor predicted says nothing about it and is left out).

    Args:
        truth: ``(N,)`` class indices, ``(N, K)`` labels of 0 and 1, scores, or masks ``(N, *spatial)``.
        output: logits ``(N, K, …)``, or scores ``(N,)`` or ``(N, K)``. Of a segmentation both may be lists, of masks
            and of predicted label maps, each pair of a size of its own.
        task: of the model.
        activation: ``"softmax"`` or ``"sigmoid"``; as in Predictor if None.
        classes: names of the outputs.
        groups: of each case, normally the patient; each case its own if None.
        thresholds: per label (sigmoid, and a one-channel segmentation), chosen on validation; 0.5 if None. NaN is a
            label without one: what needs it is NaN, with the reason.
        temperature: by which the logits of a classification are divided, as the thresholds are of calibrated
            probabilities.
        by: a stratum of each case, such as the view; the same metrics follow within each.
        min_positives: of a classification: a class that fewer cases have, or all but fewer, has no metric: NaN, with
            the reason; the mean is of the others and says of how many. A stratum is counted by itself. With 1, what
            can be computed is given.
        n_boot: draws.
        seed: of the draws.

    Returns:
        ``stratum`` ("all" first), ``metric``, ``class``, ``value``, ``low``, ``high``, ``n`` (cases) and ``reason``
        (empty, or why the value or its interval is NaN).

    Raises:
        UsageError: lengths or shapes that do not fit.
    """
    if isinstance(truth, Tensor) and isinstance(output, Tensor):
        truth, output = truth.detach().cpu(), output.detach().cpu()
    elif task != "segmentation" or isinstance(truth, Tensor) or isinstance(output, Tensor):
        raise UsageError("performance: lists are for a segmentation, of masks and of label maps; stack the others")
    n = len(truth)
    if n == 0 or len(output) != n:
        raise UsageError(f"performance: {n} truths and {len(output)} outputs; give one of each per case")
    if isinstance(output, Tensor) and not torch.isfinite(output).all():
        raise UsageError("performance: the outputs hold NaN or infinite values")
    names = np.asarray([str(i) for i in range(n)] if groups is None else [str(g) for g in groups])
    strata = None if by is None else np.asarray([str(b) for b in by])
    for what, given in (("groups", names), ("by", strata)):
        if given is not None and len(given) != n:
            raise UsageError(f"performance: {what} has {len(given)} entries for {n} cases")
    for name, number in (("n_boot", n_boot), ("min_positives", min_positives)):
        if number < 1:
            raise UsageError(f"performance: {name} is {number}; give at least 1")
    if not (isinstance(truth, Tensor) and isinstance(output, Tensor)) or task == "segmentation":
        scored = segmentation(truth, output, classes, thresholds)
    elif task == "regression":
        scored = regression(truth, output, classes)
    else:
        scored = classification(
            truth, output, activation, classes, thresholds, temperature, least_of(min_positives)
        )
    parts = [_table("all", scored, names, n_boot, seed)]
    for stratum in sorted(set(strata.tolist())) if strata is not None else ():
        chosen = np.flatnonzero(strata == stratum)
        parts.append(_table(stratum, scored.of(chosen), names[chosen], n_boot, seed))
    return pd.concat(parts, ignore_index=True)


def least_of(min_positives: int) -> int:
    """Below how many cases a class has no metric; 1 gives what can be computed, and says itself where nothing can."""
    return min_positives if min_positives > 1 else 0


def scored_table(scored: Scored, groups: Sequence[str], *, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """The rows of :func:`performance`, without strata, of what was scored already."""
    return _table("all", scored, np.asarray([str(g) for g in groups]), n_boot, seed).drop(columns="stratum")


def _table(stratum: str, scored: Scored, groups: NDArray, n_boot: int, seed: int) -> pd.DataFrame:
    drawn = patient_draws(groups, len(groups), n_boot=n_boot, seed=seed)
    # Row 0 has every case once: the value itself. The others are the draws: a case counts as often as its group.
    weights = np.concatenate([np.ones((1, len(groups))), drawn.weights])
    rows = []
    for result in scored.all(weights):
        value, low, high, reason = result.values[0], np.nan, np.nan, result.reason
        if np.isfinite(value):
            low, high, why = interval(result.values[1:], drawn.patients)
            reason = "; ".join(r for r in (reason, why) if r)
        rows.append((stratum, result.metric, result.of, value, low, high, result.n, reason))
    return pd.DataFrame(rows, columns=COLUMNS)
