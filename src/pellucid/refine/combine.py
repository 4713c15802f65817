"""How several maps become one: from values in [0, 1], one row per map, to one value and the votes for each place.

The rules ``threshold``, ``average`` and ``intersection`` are those of the myopathy study, with its constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]
Votes = NDArray[np.int64]
Combine = Literal["threshold", "average", "intersection", "rank", "borda", "weighted"]
COMBINES: tuple[str, ...] = get_args(Combine)
WITHOUT_VOTES = ("rank", "borda", "weighted")  # the rules by which the votes decide nothing
HALF = 0.5  # ``average``: means up to here are nothing
SHARED = 0.2  # ``intersection``: values above are a vote
WORDS = {
    "threshold": "the votes, each as strong as its value, where at most one map does not vote",
    "average": "the mean, where at least half of the maps vote and it is above 0.5",
    "intersection": "the mean, where all maps vote",
    "rank": "the mean of the places' ranks in each map, ties sharing theirs",
    "borda": "for each place how many others it beats in each map, added up; ties give nothing",
    "weighted": "the mean with a weight for each map",
}


def unit_range(values: Array) -> Array:
    """Min–max to [0, 1]; zeros where all are the same but for rounding."""
    low, high = float(values.min()), float(values.max())
    if is_constant(values):
        return np.zeros_like(values)
    return (values - low) / (high - low)


def is_constant(values: Array) -> bool:
    """Whether all values are the same but for rounding."""
    low, high = float(values.min()), float(values.max())
    return high - low <= 1e-9 * max(abs(low), abs(high))


def prepared(values: Array, combine: str) -> Array:
    """What a map puts in: its values in [0, 1], or for ``rank`` and ``borda`` what its order alone says, in [0, 1].

    Args:
        values: ``(N,)`` of one map.
        combine: the rule.
    """
    if combine not in ("rank", "borda") or len(values) < 2:
        return values
    ranks = rankdata(values, method="average" if combine == "rank" else "min")
    return np.asarray((ranks - 1) / (len(values) - 1), np.float64)


def combined(rows: Array, combine: str, *, t: float = 0.5, weights: Array | None = None) -> tuple[Array, Votes]:
    """One value and the number of votes for each place.

    Args:
        rows: ``(n, N)``, a map each, as :func:`prepared` gives them.
        combine: one of :data:`COMBINES`.
        t: from here on a value is a vote (``average``: above 0; ``intersection``: above 0.2).
        weights: ``(n,)``, not negative and not all zero, for ``weighted``.

    Example:
        >>> rows = np.array([[0.0, 0.4, 1.0], [0.0, 0.8, 1.0], [0.0, 0.2, 1.0]])
        >>> value, votes = combined(rows, "threshold", t=0.5)
        >>> value.tolist(), votes.tolist()
        ([0.0, 0.0, 1.0], [0, 1, 3])
    """
    n = len(rows)
    yes = _VOTES.get(combine, lambda v: v >= t)(rows)
    votes = yes.sum(0).astype(np.int64)
    if combine == "threshold":
        return np.where(votes >= n - 1, (rows * yes).sum(0) / n, 0.0), votes
    if combine == "average":
        mean = rows.mean(0)
        return np.where((2 * votes >= n) & (mean > HALF), mean, 0.0), votes
    if combine == "intersection":
        return np.where(votes == n, rows.mean(0), 0.0), votes
    if combine == "weighted" and weights is not None:
        return (rows * weights[:, None]).sum(0) / weights.sum(), votes
    return rows.mean(0), votes


_VOTES: dict[str, Callable[[Array], NDArray[np.bool_]]] = {
    "average": lambda v: v > 0,
    "intersection": lambda v: v > SHARED,
}
