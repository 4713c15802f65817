"""Where a probability becomes a label: chosen on validation, never on the test set."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from pellucid.errors import UsageError

COLUMNS = ["class", "threshold", "f1", "positives", "n", "reason"]


def threshold_table(truth: Tensor, probability: Tensor, *, classes: Sequence[str] = ()) -> pd.DataFrame:
    """The threshold of each class that gives the highest F1, each class against the rest.

    It lies half-way between two neighbouring probabilities, so that cases a little off fall on the same side. Among
    equals the one nearest to 0.5 is taken. A class that all cases have, or none, has no threshold: NaN, with the
    reason.

    Args:
        truth: of the validation split, ``(N, K)`` of 0 and 1, or ``(N,)`` indices of exclusive classes.
        probability: ``(N, K)``, in [0, 1].
        classes: names of the K.

    Returns:
        ``class``, ``threshold`` (above which a probability counts), ``f1`` at it, ``positives``, ``n`` and ``reason``.

    Raises:
        UsageError: shapes that do not fit.
    """
    p = probability.detach().cpu().double().reshape(len(probability), -1)
    t = one_per_class(truth.detach().cpu(), p.shape[1])
    if t.shape != p.shape:
        raise UsageError(f"thresholds: truth is {tuple(truth.shape)}, the probabilities are {tuple(p.shape)}")
    names = [str(c) for c in classes] or [f"class {k}" for k in range(p.shape[1])]
    rows = []
    for name, y, score in zip(names, t.T, p.T):
        positives, n = int(y.sum()), len(y)
        what = "no" if positives == 0 else "only" if positives == n else ""
        reason = f"{what} positive cases in validation" if what else ""
        if not reason and not bool((score > 0).any()):
            reason = "every probability is 0"
        threshold, f1 = (math.nan, math.nan) if reason else _best(y, score)
        rows.append((name, threshold, f1, positives, n, reason))
    return pd.DataFrame(rows, columns=COLUMNS)


def best_thresholds(truth: Tensor, probability: Tensor) -> tuple[float, ...]:
    """The thresholds of :func:`threshold_table` alone.

    Example:
        >>> best_thresholds(torch.tensor([[0.], [0.], [1.]]), torch.tensor([[0.1], [0.3], [0.35]]))
        (0.325,)
    """
    return tuple(threshold_table(truth, probability)["threshold"].tolist())


def one_per_class(truth: Tensor, k: int) -> Tensor:
    """Labels ``(N, K)`` of 0 and 1, as they are or from indices ``(N,)`` of K exclusive classes."""
    if truth.ndim == 1 and k > 1:
        if truth.numel() and not 0 <= int(truth.min()) <= int(truth.max()) < k:
            raise UsageError(f"truth goes from {int(truth.min())} to {int(truth.max())}, of {k} classes")
        truth = torch.nn.functional.one_hot(truth.long(), k)
    return truth.double().reshape(len(truth), -1)


def _best(y: Tensor, p: Tensor) -> tuple[float, float]:
    values, inverse = torch.unique(p, return_inverse=True)
    positives = torch.zeros_like(values).index_add_(0, inverse, y)
    count = torch.zeros_like(values).index_add_(0, inverse, torch.ones_like(y))
    # Everything from value i upwards counts as predicted.
    hits, predicted = positives.flip(0).cumsum(0).flip(0), count.flip(0).cumsum(0).flip(0)
    f1 = 2 * hits / (predicted + y.sum())
    f1[values <= 0] = -1  # no threshold has a probability of 0 above it
    below = torch.cat([torch.zeros(1, dtype=values.dtype), values[:-1]])
    middle = (values + below) / 2
    equal = f1 >= f1.max() - 1e-12
    best = int(torch.where(equal, (middle - 0.5).abs(), torch.inf).argmin())
    # Six digits where they are enough, and never the upper value itself, which would be lost to "above".
    between, short = float(middle[best]), round(float(middle[best]), 6)
    low, high = float(below[best]), float(values[best])
    return short if low <= short < high else between if between < high else low, float(f1[best])
