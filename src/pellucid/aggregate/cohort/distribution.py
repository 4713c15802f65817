"""How the importance of regions is spread over the cases of a cohort: box-plot numbers and histograms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pellucid.aggregate.cohort.cube import BACKGROUND, Cube
from pellucid.errors import InputError, UsageError, unknown

WHISKER = 1.5  # times the distance between the quartiles (Tukey)
BOX = ["target", "region", "n", "least", "whisker_low", "q1", "median", "q3", "whisker_high", "most", "mean", "far"]


def box_numbers(values: Cube, target: str, *, leave_out: Sequence[str] = (BACKGROUND,)) -> pd.DataFrame:
    """The numbers of a box plot of each region for one target, the region with the largest median first.

    Returns:
        ``target``, ``region``, ``n`` cases, ``least``, ``whisker_low`` (the least value within 1.5 times the distance
        between the quartiles), ``q1``, ``median``, ``q3``, ``whisker_high``, ``most``, ``mean``, ``far`` (how many lie
        beyond the whiskers). Regions that are NaN in every case are left out.

    Raises:
        UsageError: no such target.
        InputError: nothing is known of it.
    """
    rows = []
    for region, column in zip(values.regions, values.of(target).T):
        known = column[np.isfinite(column)]
        if region in leave_out or not len(known):
            continue
        q1, median, q3 = np.quantile(known, [0.25, 0.5, 0.75])
        reach = WHISKER * (q3 - q1)
        low, high = min(known[known >= q1 - reach].min(), q1), max(known[known <= q3 + reach].max(), q3)
        far = int(((known < low) | (known > high)).sum())
        rows.append(
            (target, region, len(known), known.min(), low, q1, median, q3, high, known.max(), known.mean(), far)
        )
    if not rows:
        raise InputError(f"target {target!r}: no {values.measure} is known of it in any case; was it ever predicted?")
    return pd.DataFrame(rows, columns=BOX).sort_values("median", ascending=False, kind="stable", ignore_index=True)


def histograms(values: Cube, classes: Sequence[str], *, bins: int = 13) -> pd.DataFrame:
    """Counts of cases by importance, for every pair of some classes, in bins that all pairs share.

    Returns:
        ``target``, ``region``, ``low``, ``high``, ``count``; the last bin holds its upper end.

    Raises:
        UsageError: a class that is no target or no region, or no bin.
        InputError: nothing is known of these classes.
    """
    if bins < 1:
        raise UsageError(f"histograms: bins={bins}; give 1 or more")
    for name in classes:
        for kind, there in (("target", values.targets), ("region", values.regions)):
            if name not in there:
                raise unknown(kind, name, there)
    picked = {(t, r): values.of(t)[:, values.regions.index(r)] for t in classes for r in classes}
    known = np.concatenate([v[np.isfinite(v)] for v in picked.values()]) if picked else np.array([])
    if not len(known):
        raise InputError(f"histograms: no {values.measure} is known of {', '.join(classes) or 'no class'}")
    edges = np.histogram_bin_edges(known, bins)
    return pd.DataFrame(
        [
            (t, r, low, high, int(count))
            for (t, r), v in picked.items()
            for low, high, count in zip(edges[:-1], edges[1:], np.histogram(v[np.isfinite(v)], edges)[0])
        ],
        columns=["target", "region", "low", "high", "count"],
    )
