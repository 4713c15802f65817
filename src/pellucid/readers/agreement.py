"""Do readers agree with each other, and each with themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pellucid.core.statistics import FEWEST, draws_of
from pellucid.readers.alpha import Array, alpha, coincidences
from pellucid.readers.draws import ends, numbered
from pellucid.readers.icc import icc
from pellucid.readers.items import LEVELS, NAMES
from pellucid.readers.kappa import kappa

UNIT = ["group", "case", "method", "target_index"]
SAME = "all ratings are the same: agreement is not defined"


def agreement(ratings: pd.DataFrame, *, n_boot: int, seed: int) -> pd.DataFrame:
    """One row per item and measure: ``value`` with a 95 % interval over patients, or NaN with the reason in ``note``.

    ``alpha`` (ordinal), ``icc_2_1`` and ``icc_2_k`` are between readers over first readings; the correlations over the
    maps that all readers rated. ``kappa`` (quadratic weights) and ``exact``, the share of equal ratings, are of each
    reader's two readings of the same map, and of all readers together (``reader`` is ``all``).
    """
    found: list[dict[str, Any]] = []
    for item in NAMES:
        found += _between(item, ratings, n_boot, seed)
        found += _within(item, ratings, n_boot, seed)
    return pd.DataFrame(found)


def _between(item: str, ratings: pd.DataFrame, n_boot: int, seed: int) -> list[dict[str, Any]]:
    first = ratings[~ratings["again"].astype(bool) & ratings[item].notna()]
    wide = first.set_index([*UNIT, "reader"])[item].unstack("reader")
    values, readers = wide.to_numpy(float), wide.shape[1]
    patient, n = numbered(list(wide.index.get_level_values("group")))
    several = np.isfinite(values).sum(1) > 1
    row = {"item": item, "reader": "", "maps": int(several.sum()), "groups": len(set(patient[several])),
           "readers": readers}  # fmt: skip
    if readers < 2:
        note = "one reader only: no agreement between readers" if readers else "no ratings"
        return [_row(row, m, note=note) for m in ("alpha", "icc_2_1", "icc_2_k")]
    draws = draws_of(n, n_boot, seed)[:, patient]
    if several.any():
        each = coincidences(values.T, LEVELS)
        summed = (draws @ each.reshape(len(each), -1)).reshape(-1, *each.shape[1:])
        rows = [_row(row, "alpha", float(alpha(each.sum(0))), alpha(summed), why=SAME)]
    else:
        rows = [_row(row, "alpha", note="no map was rated by two readers")]
    full = np.isfinite(values).all(1)
    row |= {"maps": int(full.sum()), "groups": len(set(patient[full]))}
    if full.sum() < 2:
        return rows + [_row(row, m, note="fewer than two maps rated by all readers") for m in ("icc_2_1", "icc_2_k")]
    point, drawn = icc(values[full]), icc(values[full], draws[:, full])
    return rows + [_row(row, m, float(p), d, why=SAME) for m, p, d in zip(("icc_2_1", "icc_2_k"), point, drawn)]


def _within(item: str, ratings: pd.DataFrame, n_boot: int, seed: int) -> list[dict[str, Any]]:
    known = ratings[ratings[item].notna()].assign(again=lambda t: t["again"].astype(bool))
    both = known.set_index(["reader", *UNIT, "again"])[item].unstack("again").reindex(columns=[False, True]).dropna()
    readers: list[Any] = sorted(ratings["reader"].unique())
    found = []
    for reader in (*readers, *(["all"] if len(readers) > 1 else [])):
        own = both if reader == "all" else both[both.index.get_level_values("reader") == reader]
        row = {"item": item, "reader": str(reader), "maps": len(own), "readers": len(readers) if reader == "all" else 1,
               "groups": own.index.get_level_values("group").nunique()}  # fmt: skip
        if not len(own):
            found += [_row(row, m, note="no map was rated twice") for m in ("kappa", "exact")]
            continue
        a, b = (own[c].to_numpy(float) for c in (False, True))
        patient, n = numbered(list(own.index.get_level_values("group")))
        draws = draws_of(n, n_boot, seed)[:, patient]
        found.append(_row(row, "kappa", float(kappa(a, b, LEVELS)), kappa(a, b, LEVELS, draws), why=SAME))
        found.append(_row(row, "exact", float((a == b).mean()), draws @ (a == b) / draws.sum(1)))
    return found


def _row(
    row: dict[str, Any], measure: str, value: float = np.nan, drawn: Array | None = None, *, why: str = "",
    note: str = "",
) -> dict[str, Any]:  # fmt: skip
    """A row of the table; an interval from 5 patients on, and the reason where something is missing."""
    enough = row["groups"] >= FEWEST
    low, high = ends(drawn) if drawn is not None and enough and np.isfinite(value) else (np.nan, np.nan)
    if not note and not np.isfinite(value):
        note = why
    elif not note and not enough:
        note = f"fewer than {FEWEST} patients: no interval"
    elif not note and not np.isfinite(low):
        note = "undefined in most draws: no interval"
    return row | {"measure": measure, "value": value, "low": low, "high": high, "note": note}


def unit_means(ratings: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """The mean over readers of every map's first ratings, one column for each item; index :data:`UNIT`."""
    first = ratings[~ratings["again"].astype(bool) & ratings["method"].isin(list(methods))]
    return first.groupby(UNIT, sort=True)[list(NAMES)].mean()
