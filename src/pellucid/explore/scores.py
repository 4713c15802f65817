"""The score of a regression: how it is distributed over the parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import skew

from pellucid.explore.cohort import Cohort
from pellucid.explore.draws import patient_interval

QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


def scores(cohort: Cohort, *, seed: int = 0) -> pd.DataFrame:
    """Mean with its interval over patients, sd, skewness and quantiles, over all parts (``all``) and in each.

    Returns:
        ``part, score, cases, patients, mean, low, high, sd, skewness, least, q05 … q95, most``; no rows where there are
        no scores.
    """
    rows: list[dict[str, Any]] = []
    if cohort.kind != "score":
        return pd.DataFrame()
    patients = cohort.patients
    parts = [("all", np.ones(len(cohort), bool))]
    parts += [(str(p), (cohort.frame["part"] == p).to_numpy()) for p in dict.fromkeys(cohort.frame["part"])]
    for k, name in enumerate(cohort.classes):
        for part, inside in parts:
            own = inside & np.isfinite(cohort.scores[:, k])
            x = cohort.scores[own, k]
            if not len(x):
                continue
            sums = np.stack([x, np.ones(len(x))], 1)
            low, high = patient_interval(sums, patients[own], lambda s: s[:, 0] / s[:, 1], seed=seed)
            varies = len(x) > 2 and x.min() < x.max()
            rows.append({
                "part": part, "score": name, "cases": len(x), "patients": len(np.unique(patients[own])),
                "mean": x.mean(), "low": float(low), "high": float(high),
                "sd": x.std(ddof=1) if len(x) > 1 else np.nan, "skewness": float(skew(x)) if varies else np.nan,
                "least": x.min(), **{q: np.quantile(x, at) for q, at in QUANTILES.items()}, "most": x.max(),
            })  # fmt: skip
    return pd.DataFrame(rows)
