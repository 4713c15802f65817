"""Do methods agree: rank correlation of the maps of one case, and its mean over patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.missing import without_missing
from pellucid.core.refiner import is_ensemble, is_masked
from pellucid.core.statistics import draws_of
from pellucid.evaluate import maths
from pellucid.evaluate.undefined import Undefined

ROWS = ["case", "group", "target_index", "a", "b", "rho"]
COLUMNS = ["a", "b", "rho", "low", "high", "n", "groups", "undefined", "note"]


def agreement_rows(maps: Sequence[Attribution], group: str | None) -> list[dict[str, Any]]:
    """Spearman's ρ of the evidence for the target in two maps, for every pair of methods of one case.

    Evidence for is the positive part of a map, channels summed: what a signed map and one that is never negative have
    in common. Pictures that both maps cover are compared, all of their pixels together; tables only where there is no
    picture. ``rho`` is NaN where a map is the same everywhere. Masked maps are left out: those that share a mask agree
    because of it; and so are ensembles, which agree with their members.
    """
    return list(_rows([a for a in maps if not is_masked(a) and not is_ensemble(a)], group))


def agreement(rows: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Mean ρ of every pair of methods over patients (targets within cases, cases within patients), 95 % interval."""
    if not len(rows):
        return pd.DataFrame(columns=COLUMNS)
    owner = rows["group"].where(rows["group"].notna(), rows["case"]).astype(str)
    table = rows.assign(_group=owner)
    found = []
    for (a, b), pair in table.groupby(["a", "b"], sort=False):
        cases = pair.groupby(["_group", "case"])["rho"].mean()
        values = cases.groupby(level=0).mean().dropna().to_numpy(float)
        n = len(values)
        low, high = np.nan, np.nan
        if n > 1:
            low, high = np.quantile(draws_of(n, n_boot, seed) @ values / n, [0.025, 0.975])
        found.append(
            {
                "a": a, "b": b, "rho": values.mean() if n else np.nan, "low": low, "high": high,
                "n": int(cases.notna().sum()), "groups": n, "undefined": int(cases.isna().sum()),
                "note": "" if n > 1 else "one patient only: no interval" if n else "undefined in every case",
            }
        )  # fmt: skip
    return pd.DataFrame(found, columns=COLUMNS)


def _rows(maps: Sequence[Attribution], group: str | None) -> Iterator[dict[str, Any]]:
    kept: dict[tuple[int, tuple[str, ...]], Tensor | None] = {}
    maps = [without_missing(a) for a in maps]  # two maps do not agree by being zero where there is nothing

    def standing(place: int, names: tuple[str, ...]) -> Tensor | None:
        if (place, names) not in kept:
            kept[place, names] = _ranks(maps[place], names)
        return kept[place, names]

    for i, j in combinations(range(len(maps)), 2):
        a, b = maps[i], maps[j]
        if a.target["index"] != b.target["index"] or a.method == b.method:
            continue
        names = tuple(sorted(set(a.images) & set(b.images)))
        if not names and not (a.images or b.images):
            names = tuple(sorted(set(a.tables) & set(b.tables)))
        x, y = standing(i, names), standing(j, names)
        rho = np.nan if x is None or y is None or len(x) != len(y) else float((x @ y).clamp(-1, 1))
        yield {
            "case": a.case_id, "group": group, "target_index": int(a.target["index"]), "a": a.method, "b": b.method,
            "rho": rho,
        }  # fmt: skip


def _ranks(a: Attribution, names: tuple[str, ...]) -> Tensor | None:
    """Ranks of the positive part, centred and of length 1: their product is ρ. None where there is no ρ."""
    try:
        heat = maths.heat(a) if a.images else {n: a.maps[n].double() for n in a.tables}
    except Undefined:
        return None
    if not names:
        return None
    v = torch.cat([heat[n].clamp(min=0).flatten() for n in names])
    if len(v) < 2 or not torch.isfinite(v).all() or v.max() == v.min():
        return None
    r = maths.ranks(v)
    r = r - r.mean()
    return r / r.norm()
