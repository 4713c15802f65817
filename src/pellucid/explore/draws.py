"""Intervals over patients of whatever is a function of sums over cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pellucid.core.statistics import FEWEST

Array = NDArray[np.float64]
N_BOOT = 500
AT_ONCE = 4_000_000  # numbers drawn at a time: a hundred thousand patients do not fill the memory


def patient_interval(
    sums: Array, patients: NDArray[np.int64], of: Callable[[Array], Array], *, n_boot: int = N_BOOT, seed: int = 0
) -> tuple[Array, Array]:
    """95 % percentile interval of ``of(sums over all cases)``, patients drawn with replacement.

    Args:
        sums: ``(n, M)`` what each case adds.
        patients: ``(n,)`` number of the patient, from 0.
        of: ``(B, M)`` sums of B draws to their ``(B, …)`` values; NaN where a draw has none.
        n_boot: draws.
        seed: of the draws.

    Returns:
        Low and high, of the shape of one value; NaN of fewer than five patients, or where half of the draws have none.
    """
    _, place = np.unique(patients, return_inverse=True)
    count = int(place.max()) + 1 if len(place) else 0
    by_patient = np.zeros((max(count, 1), sums.shape[1]))
    np.add.at(by_patient, place, sums)
    if count < FEWEST:
        nothing = np.full(of(by_patient.sum(0, keepdims=True)).shape[1:], np.nan)
        return nothing, nothing.copy()
    rng, drawn, left = np.random.default_rng(seed), [], n_boot
    while left > 0:
        now = max(1, min(left, AT_ONCE // count))
        # Counted, not drawn from a multinomial: ten times as fast with tens of thousands of patients.
        places = rng.integers(0, count, (now, count)) + count * np.arange(now)[:, None]
        weights = np.bincount(places.ravel(), minlength=now * count).reshape(now, count).astype(float)
        drawn.append(of(weights @ by_patient))
        left -= now
    values = np.concatenate(drawn)
    usable = np.isfinite(values).mean(0) >= 0.5
    known = np.where(usable, values, 0.0)  # where it is not, there is nothing to rank
    low, high = np.nanquantile(known, [0.025, 0.975], axis=0)
    return np.where(usable, low, np.nan), np.where(usable, high, np.nan)


def one_each(patients: NDArray[np.int64], rows: NDArray[np.bool_], seed: int = 0) -> NDArray[np.int64]:
    """One case of every patient among ``rows``, drawn by the seed: what a test of independent cases may look at."""
    places = np.random.default_rng(seed).permutation(np.flatnonzero(rows))
    _, first = np.unique(patients[places], return_index=True)
    return np.sort(places[first])
