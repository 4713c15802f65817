"""Histograms of grey values by class, over bins that all cases share, one picture at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.core.case import Case
from pellucid.explore.draws import patient_interval
from pellucid.explore.pictures import views

BINS = 48
Array = NDArray[np.float64]


def common_edges(pictures: pd.DataFrame, bins: int = BINS) -> dict[str, Array]:
    """For each input the edges of its bins, from the lowest 1st to the highest 99th percentile of any case.

    Args:
        pictures: rows of :func:`pellucid.explore.pictures.picture_rows`.
        bins: how many.
    """
    found = {}
    for name, own in pictures.groupby("input", sort=False):
        low, high = float(own["p01"].min()), float(own["p99"].max())
        if low == high:  # all pictures are one constant
            low, high = low - 0.5, high + 0.5
        found[str(name)] = np.linspace(low, high, bins + 1)
    return found


def shares(case: Case, edges: Mapping[str, Array]) -> dict[str, Array]:
    """For each input the share of its values in every bin, what lies beyond the ends in the outermost ones."""
    found = {}
    for name, values in views(case):
        if name in edges:
            own = edges[name]
            counts, _ = np.histogram(np.clip(values, own[0], own[-1]), bins=own)
            found[name] = counts / values.size
    return found


def histograms(
    found: Iterable[Mapping[str, Array]], edges: Mapping[str, Array], groups: Mapping[str, NDArray[np.bool_]],
    patients: NDArray[np.int64], *, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Mean share of every bin by class; every case counts alike, whatever its size.

    Args:
        found: of each case, :func:`shares`.
        edges: of the bins.
        groups: name of a class to the cases in it.
        patients: number of each case's patient.
        seed: of the draws.

    Returns:
        ``input, class, bin, left, right, share, low, high, cases, patients``: the interval of each share over patients.
    """
    cases, tables = list(found), []
    for name, own in edges.items():
        there = np.array([name in c for c in cases], bool)
        width = len(own) - 1
        values = np.array([c.get(name, np.full(width, np.nan)) for c in cases]).reshape(-1, width)
        for group, inside in groups.items():
            mine = inside & there
            if not mine.any():
                continue
            sums = np.concatenate([values[mine], np.ones((int(mine.sum()), 1))], axis=1)
            low, high = patient_interval(sums, patients[mine], lambda s: s[:, :-1] / s[:, -1:], seed=seed)
            tables.append(pd.DataFrame({
                "input": name, "class": group, "bin": range(width), "left": own[:-1], "right": own[1:],
                "share": values[mine].mean(0), "low": low, "high": high, "cases": int(mine.sum()),
                "patients": len(np.unique(patients[mine])),
            }))  # fmt: skip
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
