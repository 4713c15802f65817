"""Claim: maps agree with radiologists' boxes. How far, beside chance, other pictures, and other readers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pellucid.evaluate.cohort.claims import (
    ALL,
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
    widened,
)

CLAIM, READERS = "boxes", "readers"
CHANCE = "better than a map that knows nothing"
PLACE = "better than another patient's map of that finding"
RANDOMLY = "better than the random map"
SHARES = ("hit", "hit_iou_10", "hit_iou_25")
MEASURES = (*SHARES, "iou", "iou_half")
FURTHER = ("share", "iou_half_chance", "hit_elsewhere", "iou_elsewhere")
SUBSETS = ("all", "TP")


def agreement_claims(
    maps: pd.DataFrame, *, stated: float | None = 0.87, n_boot: int = 1000, seed: int = 0
) -> list[Row]:
    """Rows of the claim ``boxes``.

    For each method, finding and region of boxes, over all explained cases that have it and over true positives:
    the share of maps whose maximum lies in the box (``hit``), whose overlap reaches 0.1 and 0.25, and the mean overlap
    at equal size and at half the maximum. Four statements: ``hit``, ``iou`` and ``iou_half`` are better than a map
    that knows nothing, from the areas alone; ``hit`` and ``iou`` are better than those of another patient's map of that
    finding laid on this box, which knows where such findings usually lie; the shares that reach an overlap are better
    than the random map's; and ``hit`` and ``hit_iou_10`` reach what is ``stated``. Two readers' boxes on one picture
    are the method ``readers``: ``hit`` is whether the centre of one lies in the other, ``iou`` their overlap.

    Args:
        maps: the table of :mod:`~pellucid.study.analyses.clinical_claims`.
        stated: an agreement that somebody stated.
        n_boot: draws of patients.
        seed: of the draws.
    """
    own = maps[maps["measure"].isin([*MEASURES, *FURTHER])]
    if not len(own):
        return [not_testable(CLAIM, CHANCE, "no explained case has a box of the finding that is explained")]
    wide = widened(own, "region")
    rows: list[Row] = []
    for region, of in wide.groupby("region", sort=False):
        for cases in SUBSETS:
            part = of if cases == ALL else of[(of["outcome"] == cases) | (of["method"] == READERS)]
            for finding, table in by_finding(part):
                rows += _finding(table, stated, n_boot, seed, finding=finding, cases=cases, region=str(region))
    return rows


def _finding(table: pd.DataFrame, stated: float | None, n_boot: int, seed: int, **named: Any) -> list[Row]:
    random = table[table["method"] == RANDOM].set_index(["case", "target"])
    rows: list[Row] = []
    for method, own in table.groupby("method", sort=False):
        if method == READERS and named["cases"] != ALL:
            continue
        base = {"claim": CLAIM, "method": str(method), "direction": "more", **named}
        paired = random.reindex(pd.MultiIndex.from_frame(own[["case", "target"]])) if len(random) else None
        for measure in MEASURES:
            if measure not in own or own[measure].isna().all():
                continue
            kept = own[own[measure].notna()]
            sample = Sample(owners(kept), n_boot=n_boot, seed=seed)
            values = kept[measure].to_numpy(float)
            control = None
            if paired is not None and method not in (*CONTROLS, READERS):
                known = paired[measure].to_numpy(float)[own[measure].notna().to_numpy()]
                control = sample.means(known) if np.isfinite(known).all() else None
            share = kept["share"].to_numpy(float)
            means = sample.means(values)
            extra = base | {"measure": measure} | beside(means, control)
            if measure in ("hit", "iou", "iou_half"):
                chance = {"hit": share, "iou": share / (2 - share)}.get(measure)
                chance = kept["iou_half_chance"].to_numpy(float) if chance is None else chance
                found = (
                    share_against(sample, values, float(chance.mean())) if measure == "hit"
                    else measured_against(sample, means, sample.means(chance))
                )  # fmt: skip
                rows.append({**extra, "statement": CHANCE, **found})
                if f"{measure}_elsewhere" in kept and method not in (*CONTROLS, READERS):
                    rows += _elsewhere(kept, measure, base, n_boot, seed)
            elif control is not None:  # what chance gives depends on the map's shape
                rows.append({**extra, "statement": RANDOMLY, **measured_against(sample, means, control)})
            elif method not in (*CONTROLS, READERS):
                why = not_testable(CLAIM, RANDOMLY, "no random map beside it; add 'random' to the methods")
                rows.append({**why, **extra, "value": float(means[0])})
            if stated is not None and measure in ("hit", "hit_iou_10"):
                said = f"at least {100 * stated:g} %"
                rows.append({**base, "measure": measure, "statement": said, **share_against(sample, values, stated)})
    return rows


def _elsewhere(kept: pd.DataFrame, measure: str, base: Row, n_boot: int, seed: int) -> list[Row]:
    kept = kept[kept[f"{measure}_elsewhere"].notna()]
    if not len(kept):
        return []
    sample = Sample(owners(kept), n_boot=n_boot, seed=seed)
    here, there = (sample.means(kept[c].to_numpy(float)) for c in (measure, f"{measure}_elsewhere"))
    return [{**base, "measure": measure, "statement": PLACE, **measured_against(sample, here, there)}]
