"""One case beside its cohort: how unusual is each region's part?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pellucid.aggregate.cohort.cube import BACKGROUND, Cube
from pellucid.core.statistics import Array
from pellucid.errors import InputError, unknown


def one_case(values: Cube, case: str, target: str, *, leave_out: Sequence[str] = (BACKGROUND,)) -> pd.DataFrame:
    """The regions of one case's map for one target, the largest first, and where the other patients' cases lie.

    Returns:
        ``case``, ``target``, ``region``, ``value``, then of the cases of other patients ``n``, ``median``, ``low`` and
        ``high`` (5th and 95th percentile), and ``place``: the part of them that is below the value, ties by half, 0 to
        1. NaN where there are no others.

    Raises:
        UsageError: no such case or target.
        InputError: nothing is known of the target in that case.
    """
    if case not in values.cases:
        raise unknown("case", case, values.cases)
    at = values.cases.index(case)
    own = values.of(target)
    others = own[values.groups != values.groups[at]]
    rows = []
    for region, value, column in zip(values.regions, own[at], others.T):
        if region not in leave_out and np.isfinite(value):
            rows.append((case, target, region, value, *_beside(float(value), column[np.isfinite(column)])))
    if not rows:
        raise InputError(f"case {case}: no {values.measure} is known of target {target!r}; it was not predicted there")
    names = ["case", "target", "region", "value", "n", "median", "low", "high", "place"]
    return pd.DataFrame(rows, columns=names).sort_values("value", ascending=False, kind="stable", ignore_index=True)


def _beside(value: float, known: Array) -> tuple[int, float, float, float, float]:
    if not len(known):
        return (0, *[float("nan")] * 4)  # type: ignore[return-value]
    low, median, high = np.quantile(known, [0.05, 0.5, 0.95])
    place = ((known < value).sum() + (known == value).sum() / 2) / len(known)
    return len(known), float(median), float(low), float(high), float(place)
