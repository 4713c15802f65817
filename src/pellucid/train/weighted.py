"""Metrics for many rows of weights at once: weights ``(B, N)``, truth and prediction ``(N,)``, values ``(B,)``.

A bootstrap draw is a row of counts, so a thousand draws are a few matrix operations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def auroc(w: Array, y: Array, score: Array) -> Array:
    """Area under the ROC curve ``(B,)`` for weights ``(B, N)``: by ranks, ties count a half."""
    pos, neg = _by_value(w, y, score)
    below = neg.cumsum(1) - neg
    return (pos * (below + 0.5 * neg)).sum(1) / (pos.sum(1) * neg.sum(1))


def auprc(w: Array, y: Array, score: Array) -> Array:
    """Average precision ``(B,)`` for weights ``(B, N)``: precision summed over the steps of recall."""
    pos, neg = (a[:, ::-1] for a in _by_value(w, y, score))
    hits = pos.cumsum(1)
    called = hits + neg.cumsum(1)
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    return (pos * precision).sum(1) / pos.sum(1)


def _by_value(w: Array, y: Array, score: Array) -> tuple[Array, Array]:
    """Weights of positives and negatives ``(B, V)`` at each of the V distinct scores, ascending."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    ranked = w[:, order]
    return (
        np.add.reduceat(ranked * (y[order] > 0.5), starts, axis=1),
        np.add.reduceat(ranked * (y[order] <= 0.5), starts, axis=1),
    )


def average(w: Array, _: Array, p: Array) -> Array:
    """Mean of ``p``."""
    return w @ p / w.sum(1)


def f1(w: Array, y: Array, p: Array) -> Array:
    """F1 of labels of 0 and 1."""
    return 2 * (w @ (y * p)) / (w @ (y + p))


def sensitivity(w: Array, y: Array, p: Array) -> Array:
    """Share of the positives that are predicted."""
    return w @ (y * p) / (w @ y)


def specificity(w: Array, y: Array, p: Array) -> Array:
    """Share of the negatives that are not predicted."""
    return w @ ((1 - y) * (1 - p)) / (w @ (1 - y))


def precision(w: Array, y: Array, p: Array) -> Array:
    """Share of the predicted that are positive."""
    return w @ (y * p) / (w @ p)


def balanced_accuracy(w: Array, y: Array, p: Array) -> Array:
    """Mean over the classes of ``y`` of the share of each that is predicted; NaN with one class only."""
    classes = np.unique(y)
    if len(classes) < 2:
        return np.full(len(w), np.nan)
    return np.mean([w @ ((y == c) & (p == c)) / (w @ (y == c)) for c in classes], axis=0)


def mae(w: Array, y: Array, p: Array) -> Array:
    """Mean absolute error."""
    return w @ np.abs(y - p) / w.sum(1)


def rmse(w: Array, y: Array, p: Array) -> Array:
    """Root of the mean squared error."""
    return np.sqrt(w @ np.square(y - p) / w.sum(1))


def pearson(w: Array, y: Array, p: Array) -> Array:
    """Pearson's r; NaN without spread."""
    total = w.sum(1)
    # Around the unweighted means first: differences of large sums lose digits.
    y, p = y - y.mean(), p - p.mean()
    my, mp = w @ y / total, w @ p / total
    cov = w @ (y * p) / total - my * mp
    vy, vp = w @ (y * y) / total - my**2, w @ (p * p) / total - mp**2
    return np.where((vy > 1e-14) & (vp > 1e-14), cov / np.sqrt(vy * vp), np.nan)


def r2(w: Array, y: Array, p: Array) -> Array:
    """Coefficient of determination; NaN without spread."""
    total = w.sum(1)
    centred = y - y.mean()
    spread = w @ np.square(centred) / total - np.square(w @ centred / total)
    return np.where(spread > 1e-14, 1 - w @ np.square(y - p) / total / spread, np.nan)
