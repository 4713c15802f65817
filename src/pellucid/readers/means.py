"""What readers gave each method: means with intervals, how often each rating, and the methods against each other."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from pellucid.core.statistics import holm
from pellucid.evaluate.cohort.intervals import gap, signed_rank
from pellucid.readers.draws import crossed, numbered
from pellucid.readers.items import ITEMS, LEVELS, NAMES
from pellucid.report.judge import is_control

ALPHA = 0.05


def methods_of(ratings: pd.DataFrame) -> list[str]:
    """The methods that were rated, by name, controls last."""
    return sorted((str(m) for m in ratings["method"].unique()), key=lambda m: (is_control(m), m))


def means(ratings: pd.DataFrame, *, n_boot: int, seed: int) -> pd.DataFrame:
    """One row per item and method, over first readings: ``mean``, ``low``, ``high`` and over what was ``drawn``.

    ``n`` ratings of ``maps`` maps of ``groups`` patients by ``readers`` readers; ``missing`` were left out;
    ``rated_1`` … ``rated_5`` count the values.
    """
    first = ratings[~ratings["again"].astype(bool)]
    found = []
    for item in ITEMS:
        for method in methods_of(first):
            own = first[first["method"] == method]
            values = own[item.name].to_numpy(float)
            known = own[np.isfinite(values)]
            low, high, drawn, note = crossed(values, list(own["group"]), list(own["reader"]), n_boot=n_boot, seed=seed)
            found.append(
                {
                    "item": item.name, "statement": item.statement, "method": method, "control": is_control(method),
                    "mean": float(np.nanmean(values)) if len(known) else np.nan, "low": low, "high": high,
                    "drawn": drawn, "n": len(known), "missing": len(own) - len(known),
                    "maps": known[["case", "target_index"]].drop_duplicates().shape[0],
                    "groups": known["group"].nunique(), "readers": known["reader"].nunique(),
                    **{f"rated_{v}": int((values == v).sum()) for v in LEVELS}, "note": note,
                }
            )  # fmt: skip
    return pd.DataFrame(found)


def pairs(ratings: pd.DataFrame, *, n_boot: int, seed: int) -> pd.DataFrame:
    """Every two methods, of which one at most is a control: how much higher readers rated ``a`` than ``b``.

    Compared are ratings of the same case by the same reader. ``p`` is a two-sided Wilcoxon signed-rank test over the
    mean differences of the patients, Holm-corrected over the pairs of an item; ``word`` says which is rated higher
    where ``p`` is under 0.05.
    """
    first = ratings[~ratings["again"].astype(bool)]
    names = methods_of(first)
    wide = first.set_index(["reader", "group", "case", "target_index", "method"])[list(NAMES)]
    chosen = [(a, b) for a, b in combinations(names, 2) if not (is_control(a) and is_control(b))]
    found: list[dict[str, Any]] = []
    for item in NAMES:
        by = wide[item].unstack("method")
        owner = by.index.get_level_values("group")
        reader = by.index.get_level_values("reader")
        patient, _ = numbered(list(owner))
        rows: list[dict[str, Any]] = []
        for a, b in chosen:
            gaps = gap(by[a].to_numpy(float), by[b].to_numpy(float))
            known = np.isfinite(gaps)
            low, high, drawn, note = crossed(gaps, list(owner), list(reader), n_boot=n_boot, seed=seed)
            rows.append(
                {
                    "item": item, "a": a, "b": b, "control": is_control(b),
                    "difference": float(gaps[known].mean()) if known.any() else np.nan, "low": low, "high": high,
                    "drawn": drawn, "n": int(known.sum()), "groups": len(set(patient[known])),
                    "readers": reader[known].nunique(), "p": signed_rank(gaps, patient), "note": note,
                }
            )  # fmt: skip
        corrected = holm(np.array([r["p"] for r in rows], float))
        found += [r | {"p": float(p), "word": _word(r["difference"], float(p))} for r, p in zip(rows, corrected)]
    return pd.DataFrame(found)


def _word(difference: float, p: float) -> str:
    if not np.isfinite(p):
        return "undefined"
    return "not told apart" if p >= ALPHA else "a higher" if difference > 0 else "b higher"
