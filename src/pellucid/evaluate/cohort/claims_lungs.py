"""Claim: where the model is wrong it looks outside the lungs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from pellucid.core.statistics import FEWEST, Array
from pellucid.evaluate.cohort.claims import (
    CONTROLS,
    RANDOM,
    Row,
    Sample,
    beside,
    by_finding,
    measured_against,
    not_testable,
    owners,
)

CLAIM, MEASURE = "outside", "outside"
GROUPS = {
    "false positives look outside the lungs more than true ones": (("FP",), ("TP",)),
    "wrong answers look outside the lungs more than right ones": (("FP", "FN"), ("TP", "TN")),
}  # fmt: skip


def outside_claims(maps: pd.DataFrame, *, n_boot: int = 1000, seed: int = 0) -> list[Row]:
    """Rows of the claim ``outside``: the mean share of the evidence outside the lungs, wrong less right.

    Of false positives less true positives, and of all wrong less all right answers, for each method and finding.
    ``p`` is that of the Mann-Whitney test of the patients' means, one for each side; a patient with maps on both sides
    is on both. The interval draws patients, so that it goes with the difference of the means and may differ a
    little from ``p``. ``note`` gives both means.
    """
    own = maps[maps["measure"] == MEASURE]
    statements = list(GROUPS)
    if not len(own):
        why = "no explained case has a mask of the lungs; give regions 'lungs', or data.zones: [lungs_classical]"
        return [not_testable(CLAIM, statements[0], why)]
    rows: list[Row] = []
    for finding, table in by_finding(own):
        random = table[table["method"] == RANDOM].set_index(["case", "target"])["value"]
        for statement, (wrong, right) in GROUPS.items():
            for method, mine in table.groupby("method", sort=False):
                mine = mine[mine["outcome"].isin([*wrong, *right]) & mine["value"].notna()]  # noqa: PLW2901
                base = {"claim": CLAIM, "finding": finding, "method": str(method), "statement": statement,
                        "measure": MEASURE, "cases": f"{'+'.join(wrong)} and {'+'.join(right)}",
                        "region": str(table["region"].iloc[0]), "direction": "more"}  # fmt: skip
                found = _compared(mine, mine["outcome"].isin(wrong).to_numpy(), random, n_boot, seed)
                rows.append(base | found)
    return rows


def _compared(mine: pd.DataFrame, wrong: NDArray[np.bool_], random: pd.Series, n_boot: int, seed: int) -> Row:
    who, values = owners(mine), mine["value"].to_numpy(float)
    sides = [len(set(who[side])) for side in (wrong, ~wrong)]
    if min(sides) < FEWEST:
        said = f"{sides[0]} patients with a wrong answer and {sides[1]} with a right one; at least {FEWEST} of each"
        return {"n": len(mine), "groups": min(sides), "note": said}
    sample = Sample(who, n_boot=n_boot, seed=seed)
    gap = _gap(sample, values, wrong)
    control = None
    if len(random) and mine["method"].iloc[0] not in CONTROLS:
        known = random.reindex(pd.MultiIndex.from_frame(mine[["case", "target"]])).to_numpy(float)
        control = _gap(sample, known, wrong) if np.isfinite(known).all() else None
    each = [pd.Series(values[side]).groupby(who[side]).mean() for side in (wrong, ~wrong)]
    p = float(mannwhitneyu(*each, alternative="two-sided").pvalue)
    means = [float(values[side].mean()) for side in (wrong, ~wrong)]
    said = (
        f"{means[0]:.3f} in {int(wrong.sum())} maps of wrong answers ({sides[0]} patients), {means[1]:.3f} in "
        f"{int((~wrong).sum())} of right ones ({sides[1]})"
    )
    return measured_against(sample, gap, 0.0) | beside(gap, control) | {"p": p, "note": said}


def _gap(sample: Sample, values: Array, wrong: NDArray[np.bool_]) -> Array:
    means = []
    for side in (wrong, ~wrong):
        w = sample.weights[:, side]
        total = w.sum(1)
        means.append(np.divide(w @ values[side], total, out=np.full(len(w), np.nan), where=total > 0))
    return means[0] - means[1]
