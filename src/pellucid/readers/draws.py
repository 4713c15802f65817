"""Intervals over patients, and over patients and readers, by drawing them with replacement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.core.statistics import draws_of

Array = NDArray[np.float64]
DEFINED = 0.5  # of the draws: an interval of fewer says little


def numbered(names: Sequence[Any]) -> tuple[NDArray[np.int64], int]:
    """Names as numbers from 0, and how many different ones there are."""
    known, index = np.unique(np.asarray([str(n) for n in names]), return_inverse=True)
    return index, len(known)


def crossed(
    values: Array, groups: Sequence[Any], readers: Sequence[Any], *, n_boot: int, seed: int
) -> tuple[float, float, str, str]:
    """95 % interval of the mean of ratings; patients are drawn, and readers too where there are at least two.

    A rating counts as often as its patient was drawn times as often as its reader was.

    Returns:
        low, high, what was drawn, and why there is no interval.
    """
    known = np.isfinite(values)
    patient, n = numbered([g for g, k in zip(groups, known) if k])
    reader, m = numbered([r for r, k in zip(readers, known) if k])
    drawn = "patients and readers" if m > 1 else "patients"
    if n < 2:
        return np.nan, np.nan, drawn, "one patient only: no interval" if n else "no ratings"
    total, count = np.zeros((n, m)), np.zeros((n, m))
    np.add.at(total, (patient, reader), values[known])
    np.add.at(count, (patient, reader), 1.0)
    of_patients = draws_of(n, n_boot, seed)
    of_readers = draws_of(m, n_boot, seed + 1) if m > 1 else np.ones((n_boot, 1))
    ratings = ((of_patients @ count) * of_readers).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return *ends(((of_patients @ total) * of_readers).sum(1) / ratings), drawn, ""


def ends(found: Array) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of what the draws gave; NaN where fewer than half of them gave anything."""
    usable = found[np.isfinite(found)]
    if len(usable) < DEFINED * len(found):
        return np.nan, np.nan
    low, high = np.quantile(usable, [0.025, 0.975])
    return float(low), float(high)
