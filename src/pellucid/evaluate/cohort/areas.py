"""Areas under ROC curves with patients drawn: of one number, and of two numbers of the same predictions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pellucid.core.statistics import FEWEST, Array

AT_ONCE = 4_000_000  # weights of a bootstrap held at a time


class Apart(NamedTuple):
    """The AUROC of another number on the same predictions, the difference, its 95 % interval, and why there is none."""

    other: float
    difference: float
    low: float
    high: float
    note: str


def areas(certainty: Array, right: NDArray[np.bool_], weights: Array) -> Array:
    """``(B,)`` AUROC with each of ``weights (B, n)``; NaN where all right or all wrong ones weigh nothing."""
    order = np.argsort(certainty, kind="stable")
    value, right, weights = certainty[order], right[order], weights[:, order]
    starts = np.flatnonzero(np.concatenate([[True], value[1:] != value[:-1]]))
    good = np.add.reduceat(weights * right, starts, axis=1)
    bad = np.add.reduceat(weights * ~right, starts, axis=1)
    below = np.cumsum(bad, axis=1) - bad / 2  # wrong ones that are less certain, ties half
    pairs = good.sum(1) * bad.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(pairs > 0, (good * below).sum(1) / pairs, np.nan))


def too_few(right: NDArray[np.bool_], owner: NDArray[np.int64]) -> str:
    """Why there is no interval: one patient, or too few with a right or with a wrong prediction; empty if there is."""
    if len(np.unique(owner)) < 2:
        return "one patient only: no interval"
    fewest = min(len(np.unique(owner[right])), len(np.unique(owner[~right])))
    return f"right or wrong predictions of too few patients ({fewest}): no interval" if fewest < FEWEST else ""


def weights_of(owner: NDArray[np.int64], n_boot: int, seed: int) -> Iterator[Array]:
    """How much each prediction weighs as its patients are drawn with replacement, ``(n_boot, n)`` in pieces."""
    owner = np.unique(owner, return_inverse=True)[1]
    many = int(owner.max()) + 1
    rng = np.random.default_rng(seed)
    size = max(1, AT_ONCE // len(owner))
    for start in range(0, n_boot, size):
        drawn = rng.multinomial(many, np.full(many, 1 / many), size=min(size, n_boot - start))
        yield drawn[:, owner].astype(float)


def apart(
    certainty: Array, other: Array, right: NDArray[np.bool_], owner: NDArray[np.int64], *, n_boot: int, seed: int
) -> Apart:  # fmt: skip
    """The AUROC of one number less that of another, over the predictions that have both; the draws serve both."""
    both = np.isfinite(certainty) & np.isfinite(other)
    certainty, other, right, owner = certainty[both], other[both], right[both], owner[both]
    nan = float("nan")
    if not 0 < right.sum() < len(right):
        return Apart(nan, nan, nan, nan, "no prediction that is right and one that is wrong have both numbers")
    whole = np.ones((1, len(right)))
    theirs = float(areas(other, right, whole)[0])
    gap = float(areas(certainty, right, whole)[0]) - theirs
    note = too_few(right, owner)
    if note:
        return Apart(theirs, gap, nan, nan, note)
    found = np.concatenate(
        [areas(certainty, right, w) - areas(other, right, w) for w in weights_of(owner, n_boot, seed)]
    )
    usable = found[np.isfinite(found)]
    if len(usable) < n_boot / 2:
        return Apart(theirs, gap, nan, nan, "right or wrong predictions of too few patients: no interval")
    low, high = np.quantile(usable, [0.025, 0.975])
    return Apart(theirs, gap, float(low), float(high), "")
