"""Claim: the surer the model, the more focused its map."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pellucid.core.statistics import Array, spearman
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
    widened,
)

CLAIM = "focus"
STATEMENT = "surer predictions have more focused maps"
MEASURES = {"gini": "more", "effective_share": "less"}  # of Spearman's ρ with the confidence
SUBSETS = {"all": None, "said to be there": ("TP", "FP")}


def focus_claims(maps: pd.DataFrame, *, n_boot: int = 1000, seed: int = 0) -> list[Row]:
    """Rows of the claim ``focus``: Spearman's ρ of confidence and concentration over the maps of a method.

    Confidence is how far the probability lies from the threshold, as a share of what is possible on its side; without
    a threshold the probability itself. Concentration is the Gini index of the positive evidence, and, the other way
    round, the share of the picture over which it is spread. Over all explained maps, and over those of findings that
    the model says are there. Patients are drawn; the random map's ρ comes from the same draws.
    """
    own = maps[maps["measure"].isin(list(MEASURES)) & maps["confidence"].notna()]
    if not len(own):
        return [not_testable(CLAIM, STATEMENT, "no map with a positive value, or no probabilities of classes")]
    wide = widened(own, "confidence").dropna(subset=list(MEASURES))
    rows: list[Row] = []
    for cases, outcomes in SUBSETS.items():
        part = wide if outcomes is None else wide[wide["outcome"].isin(outcomes)]
        if outcomes is not None and len(part) == len(wide):
            continue  # nothing else is explained
        for finding, table in by_finding(part):
            random = table[table["method"] == RANDOM].set_index(["case", "target"])
            for method, mine in table.groupby("method", sort=False):
                sample = Sample(owners(mine), n_boot=n_boot, seed=seed)
                paired = random.reindex(pd.MultiIndex.from_frame(mine[["case", "target"]])) if len(random) else None
                for measure, direction in MEASURES.items():
                    rho = _rho(sample, mine["confidence"], mine[measure])
                    control = None
                    if paired is not None and method not in CONTROLS and paired[measure].notna().all():
                        control = _rho(sample, mine["confidence"], paired[measure])
                    rows.append({
                        "claim": CLAIM, "finding": finding, "method": str(method), "statement": STATEMENT,
                        "measure": measure, "cases": cases, "region": "", "direction": direction,
                        **measured_against(sample, rho, 0.0), **beside(rho, control),
                        "note": "" if np.isfinite(rho[0]) else "the confidence or the measure is the same in all",
                    })  # fmt: skip
    return rows


def _rho(sample: Sample, confidence: pd.Series, measure: pd.Series) -> Array:
    x, y = confidence.to_numpy(float), measure.to_numpy(float)
    if sample.n < 3:
        return np.full(len(sample.weights), np.nan)
    return spearman(x, y, sample.weights)
