"""Claim: the maps of findings that occur together are separate."""

from __future__ import annotations

import numpy as np
import pandas as pd

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
    share_against,
)

CLAIM = "apart"
HALF = "less than half of their highest tenth is shared"
RANKS = "their rank correlation is below one half"
ELSEWHERE = "they share less than the two findings' maps of different patients"
OWN = "each is denser in its own finding's box than in the other's"
LIMIT = 0.5


def apart_claims(maps: pd.DataFrame, *, n_boot: int = 1000, seed: int = 0) -> list[Row]:
    """Rows of the claim ``apart``, over pairs of findings that the model says are in the same picture.

    How much of the highest tenth the two maps share (two maps that know nothing of each other: a tenth) and their rank
    correlation, each against one half; the shared tenth against that of this map and another patient's map of the other
    finding: where it is larger, the maps follow the picture rather than the finding; and, where both have a box,
    whether each map is denser in its own. The random map's number stands beside each; that it shares little is no
    merit, so that only the last has to beat it.
    """
    own = maps[maps["other"].notna() & (maps["other"] != "")]
    if not len(own):
        why = "no picture in which two findings that the model says are there were explained"
        return [not_testable(CLAIM, HALF, why)]
    pair = [" + ".join(sorted((str(a), str(b)))) for a, b in zip(own["target"], own["other"])]
    own = own.assign(target=pair)
    rows: list[Row] = []
    for measure, statement in (("shared_top", HALF), ("spearman", RANKS), ("own_box", OWN)):
        mine = own[(own["measure"] == measure) & own["value"].notna()]
        if not len(mine):
            why = "no picture with boxes of both findings, neither within the other" if measure == "own_box" else (
                "a map is the same everywhere")  # fmt: skip
            rows.append(not_testable(CLAIM, statement, why))
            continue
        for finding, table in by_finding(mine):
            rows += _rows(table, finding, measure, statement, n_boot, seed)
    there = own[own["measure"] == "shared_elsewhere"]
    if len(there):
        both = own[own["measure"] == "shared_top"].merge(
            there, on=["case", "group", "method", "target"], suffixes=("", "_there")
        )
        for finding, table in by_finding(both):
            for method, mine in table.groupby("method", sort=False):
                sample = Sample(owners(mine), n_boot=n_boot, seed=seed)
                here, far = (sample.means(mine[c].to_numpy(float)) for c in ("value", "value_there"))
                rows.append({
                    "claim": CLAIM, "finding": finding, "method": str(method), "statement": ELSEWHERE, "cases": "pairs",
                    "measure": "shared_top", "region": "", "direction": "less", **measured_against(sample, here, far),
                })  # fmt: skip
    return rows


def _rows(table: pd.DataFrame, finding: str, measure: str, statement: str, n_boot: int, seed: int) -> list[Row]:
    # A box may be asked of either map of a pair: two rows of one case.
    table = table.groupby(["case", "group", "method", "target"], sort=False, dropna=False)["value"].mean().reset_index()
    random = table[table["method"] == RANDOM].set_index(["case", "target"])["value"]
    rows: list[Row] = []
    for method, mine in table.groupby("method", sort=False):
        sample = Sample(owners(mine), n_boot=n_boot, seed=seed)
        values = mine["value"].to_numpy(float)
        means, control = sample.means(values), None
        if len(random) and method not in CONTROLS:
            known = random.reindex(pd.MultiIndex.from_frame(mine[["case", "target"]])).to_numpy(float)
            control = sample.means(known) if np.isfinite(known).all() else None
        boxes = measure == "own_box"
        found = share_against(sample, values, LIMIT) if boxes else measured_against(sample, means, LIMIT)
        rows.append({
            "claim": CLAIM, "finding": finding, "method": str(method), "statement": statement, "measure": measure,
            "cases": "pairs", "region": "", "direction": "more" if boxes else "less", "free": not boxes, **found,
            **beside(means, control),
        })  # fmt: skip
    return rows
