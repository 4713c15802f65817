"""Bootstrap draws of whole patients as rows of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Draws:
    """How often each case counts.

    Attributes:
        weights: ``(n_boot, N)``: a case counts as often as its patient was drawn.
        patients: how many there are.
    """

    weights: NDArray[np.float64]
    patients: int


def patient_draws(groups: Sequence[str] | NDArray | None, n: int, *, n_boot: int, seed: int) -> Draws:
    """Patients drawn with replacement, as many as there are; each case its own patient if ``groups`` is None."""
    names = np.asarray([str(i) for i in range(n)] if groups is None else [str(g) for g in groups])
    known, index = np.unique(names, return_inverse=True)
    counts = np.random.default_rng(seed).multinomial(len(known), np.full(len(known), 1 / len(known)), size=n_boot)
    return Draws(counts[:, index].astype(float), len(known))


def interval(draws: NDArray[np.float64], patients: int, *, share: float = 0.5) -> tuple[float, float, str]:
    """2.5 and 97.5 % quantiles of a number's draws, or NaN twice with the reason.

    Args:
        draws: ``(n_boot,)``, NaN where a draw leaves the number undefined.
        patients: that were drawn from.
        share: of the draws that have to be defined.
    """
    defined = draws[np.isfinite(draws)]
    if patients < 2:
        return np.nan, np.nan, "one group only: no interval"
    if len(defined) < share * len(draws):
        return np.nan, np.nan, f"undefined in {len(draws) - len(defined)} of {len(draws)} draws: no interval"
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high), ""
