"""ROC and precision-recall curves, each with a pointwise bootstrap band over patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.train.asked import Asked
from pellucid.train.draws import Draws, interval, patient_draws
from pellucid.train.weighted import Array, precision, sensitivity, specificity

POINTS = 101  # of a drawn curve, along the axis that the band is taken at
ROC = ["class", "point", "fpr", "tpr", "low", "high", "threshold", "positives", "n", "reason"]
PR = ["class", "point", "recall", "precision", "low", "high", "threshold", "prevalence", "positives", "n", "reason"]
AT_ONCE = 2_000_000  # cases times draws
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
            y, place = (a[0] for a in at(steps, np.ones((1, n)), x))
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
        """Weight ``(B, V + 1)`` of the positives and of the negatives among the first 0 to V steps."""
        w = weights[:, self.order]
        hits = np.cumsum(w * self.positive, 1)[:, self.ends]
        alarms = np.cumsum(w, 1)[:, self.ends] - hits
        return np.pad(hits, ((0, 0), (1, 0))), np.pad(alarms, ((0, 0), (1, 0)))


def roc_at(steps: Steps, weights: Array, x: Array) -> tuple[Array, Places]:
    """Sensitivity ``(B, X)`` at false positive rates ``x``, and how many steps are then called yes.

    Where the curve rises at a rate, its upper end counts. The ``weights`` ``(B, N)`` of every row have to leave
    positives and negatives.
    """
    hits, alarms = steps.sums(weights)
    tpr, fpr = hits / hits[:, -1:], alarms / alarms[:, -1:]
    left = _places(fpr, x, "right") - 1
    right = np.minimum(left + 1, fpr.shape[1] - 1)
    (x0, y0), (x1, y1) = ([np.take_along_axis(a, at, 1) for a in (fpr, tpr)] for at in (left, right))
    share = np.divide(x - x0, x1 - x0, out=np.zeros_like(x0), where=x1 > x0)
    return y0 + share * (y1 - y0), left


def pr_at(steps: Steps, weights: Array, x: Array) -> tuple[Array, Places]:
    """Precision ``(B, X)`` where recalls ``x`` are first reached, and how many steps are then called yes.

    At recall 0 it is the precision of the first step that finds a positive. The ``weights`` ``(B, N)`` of every row
    have to leave positives.
    """
    hits, alarms = steps.sums(weights)
    recall = hits / hits[:, -1:]
    # Above 0, and a hair less than asked for: sums of shares are.
    place = _places(recall, np.maximum(x, 1e-9) - 1e-10, "left")
    found, false = (np.take_along_axis(a, place, 1) for a in (hits, alarms))
    return found / (found + false), place


def _places(rows: Array, x: Array, side: Literal["left", "right"]) -> Places:
    """Where ``x`` would be put into each of the rows, which rise from 0 to 1: one search over all, each moved up."""
    up = 2.0 * np.arange(len(rows))[:, None]
    found = np.searchsorted((rows + up).ravel(), (x + up).ravel(), side=side).reshape(len(rows), -1)
    return found - np.arange(len(rows))[:, None] * rows.shape[1]


Curve = Callable[[Steps, Array, Array], tuple[Array, Places]]


def _band(steps: Steps, draws: Draws, at: Curve, x: Array) -> tuple[Array, Array, str]:
    hit = draws.weights[:, steps.order] @ steps.positive
    usable = draws.weights[(hit > 0) & (hit < draws.weights.sum(1))]  # others have no positives, or nothing else
    nothing = np.full(len(x), np.nan)
    if draws.patients < 2 or 2 * len(usable) < len(draws.weights):
        few = "one group only" if draws.patients < 2 else "undefined in most draws"
        return nothing, nothing, f"{NO_BAND}: {few}"
    rows = max(1, AT_ONCE // len(steps.order))
    drawn = np.concatenate([at(steps, usable[k : k + rows], x)[0] for k in range(0, len(usable), rows)])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return low, high, ""


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
