"""ROC and precision-recall curves, each with a pointwise bootstrap band over patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.train.asked import Asked
from pellucid.train.draws import Draws, interval, patient_draws
from pellucid.train.weighted import Array, precision, sensitivity, specificity

POINTS = 101  # of a drawn curve, along the axis that the band is taken at
ROC = ["class", "point", "fpr", "tpr", "low", "high", "threshold", "positives", "n", "reason"]
PR = ["class", "point", "recall", "precision", "low", "high", "threshold", "prevalence", "positives", "n", "reason"]
NO_BAND = "no band"
Places = NDArray[np.intp]


def curves(
    questions: Sequence[Asked],
    *,
    groups: Sequence[str] | None = None,
    min_positives: int = 5,
    n_boot: int = 1000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ROC and precision-recall curve of each class, on a grid of 101 points, with where the model's answers lie.

    ROC: the sensitivity at each false positive rate, straight lines between the steps, as the area under it has them.
    Precision-recall: the precision of the fewest cases, the most probable first, that reach each recall: the steps
    that average precision sums, and no straight lines, which would flatter (davis2006relationship). The band is
    pointwise, at each rate by itself: 2.5 to 97.5 % over draws of patients; a whole curve leaves it more often than
    in 5 of 100.

    Args:
        questions: of the cases.
        groups: of each case, normally the patient.
        min_positives: a class that fewer cases have, or all but fewer, has no curve: one row, with the reason.
        n_boot: draws.
        seed: of the draws.

    Returns:
        Rows with ``point`` ``"curve"``, and one ``"answer"`` where the model's own answers lie, its ``low`` and
        ``high`` the interval of its sensitivity (ROC) or precision; ``threshold`` is the probability from which on
        cases count there, of the answer the one above which they do.
    """
    if not questions:
        return pd.DataFrame(columns=ROC), pd.DataFrame(columns=PR)
    draws = patient_draws(groups, len(questions[0].truth), n_boot=n_boot, seed=seed)
    roc: list[tuple[object, ...]] = []
    pr: list[tuple[object, ...]] = []
    for q in questions:
        positives, n = int(q.truth.sum()), len(q.truth)
        tail = (positives, n)
        few = q.too_few(min_positives)
        if few:
            roc.append((q.of, "none", np.nan, np.nan, np.nan, np.nan, np.nan, *tail, few))
            pr.append((q.of, "none", np.nan, np.nan, np.nan, np.nan, np.nan, positives / n, *tail, few))
            continue
        x, steps = np.linspace(0, 1, POINTS), Steps(q.truth, q.rank)
        for rows, at, measure, extra in (
            (roc, roc_at, "tpr", ()), (pr, pr_at, "precision", (positives / n,)),
        ):  # fmt: skip
            y, place = at(steps, np.ones(n), x)
            low, high, reason = _band(steps, draws, at, x)
            limits = _limits(q, place)
            rows += [(q.of, "curve", *p, *extra, *tail, reason) for p in zip(x, y, low, high, limits)]
            rows += [(q.of, "answer", *_answer(q, draws, measure), q.threshold, *extra, *tail, "")]
    return pd.DataFrame(roc, columns=ROC), pd.DataFrame(pr, columns=PR)


class Steps:
    """The cases in the order of their ranks, highest first, those that tie as one step; sorted once for all draws.

    Args:
        truth: ``(N,)`` of 0 and 1.
        rank: ``(N,)``.
    """

    def __init__(self, truth: Array, rank: Array) -> None:
        self.order = np.argsort(-rank, kind="stable")
        self.ends = np.r_[np.flatnonzero(np.diff(rank[self.order])), len(rank) - 1]
        self.positive = truth[self.order] > 0.5

    def sums(self, weights: Array) -> tuple[Array, Array]:
        """Weight of the positives and of the negatives among the first 0 to V steps."""
        w = weights[self.order]
        hits, all_ = np.cumsum(np.where(self.positive, w, 0.0))[self.ends], np.cumsum(w)[self.ends]
        return np.r_[0.0, hits], np.r_[0.0, all_ - hits]


def roc_at(steps: Steps, weights: Array, x: Array) -> tuple[Array, Places]:
    """Sensitivity at false positive rates ``x``, and how many steps are then called yes.

    Where the curve rises at a rate, its upper end counts. NaN where no positive, or no negative, has weight.
    """
    hits, alarms = steps.sums(weights)
    if not hits[-1] > 0 or not alarms[-1] > 0:
        return np.full(len(x), np.nan), np.zeros(len(x), int)
    tpr, fpr = hits / hits[-1], alarms / alarms[-1]
    left = np.searchsorted(fpr, x, side="right") - 1
    right = np.minimum(left + 1, len(fpr) - 1)
    width = fpr[right] - fpr[left]
    share = np.divide(x - fpr[left], width, out=np.zeros_like(x), where=width > 0)
    return tpr[left] + share * (tpr[right] - tpr[left]), left


def pr_at(steps: Steps, weights: Array, x: Array) -> tuple[Array, Places]:
    """Precision where recalls ``x`` are first reached, and how many steps are then called yes.

    At recall 0 it is the precision of the first step that finds a positive. NaN where no positive has weight.
    """
    hits, alarms = steps.sums(weights)
    if not hits[-1] > 0:
        return np.full(len(x), np.nan), np.zeros(len(x), int)
    recall = hits / hits[-1]
    wanted = np.maximum(x, recall[recall > 0][0])
    # Sums of shares: what is 1 in truth may be a hair less.
    place = np.minimum(np.searchsorted(recall, wanted - 1e-12), len(recall) - 1)
    return hits[place] / (hits[place] + alarms[place]), place


Curve = Callable[[Steps, Array, Array], tuple[Array, Places]]


def _band(steps: Steps, draws: Draws, at: Curve, x: Array) -> tuple[Array, Array, str]:
    drawn = np.stack([at(steps, w, x)[0] for w in draws.weights])
    found = [interval(column, draws.patients) for column in drawn.T]
    reason = next((f"{NO_BAND}: {why.removesuffix(': no interval')}" for _, _, why in found if why), "")
    return np.array([f[0] for f in found]), np.array([f[1] for f in found]), reason


def _limits(q: Asked, place: Places) -> Array:
    """The probability of the last case that counts as yes; infinite where none does."""
    _, first = np.unique(-q.rank, return_index=True)
    return np.r_[np.inf, q.said[first]][place]


def _answer(q: Asked, draws: Draws, measure: str) -> tuple[float, float, float, float]:
    """``x, y, low, high`` of the model's answers: what :func:`~pellucid.train.performance` gives."""
    if np.isnan(q.yes).any():
        return np.nan, np.nan, np.nan, np.nan
    weights = np.concatenate([np.ones((1, len(q.truth))), draws.weights])
    with np.errstate(divide="ignore", invalid="ignore"):
        found, right, called = (f(weights, q.truth, q.yes) for f in (sensitivity, specificity, precision))
    x, y = (1 - right[0], found) if measure == "tpr" else (found[0], called)
    if not np.isfinite(y[0]):
        return float(x), np.nan, np.nan, np.nan
    low, high, _ = interval(y[1:], draws.patients)
    return float(x), float(y[0]), low, high
