"""How many cases and patients have each class, and which classes come together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from pellucid.core.statistics import holm, wilson
from pellucid.explore.cohort import Cohort
from pellucid.explore.draws import one_each, patient_interval

Array = NDArray[np.float64]


def label_counts(cohort: Cohort) -> pd.DataFrame:
    """Cases and patients of every class, over all parts (``all``) and in each.

    The interval is that of the share of patients who have the class in a picture at least: patients are independent,
    pictures of one patient are not.

    Returns:
        ``part, class, cases, of_cases, share, patients, of_patients, patient_share, low, high``; no rows without
        classes. A case without a truth is not counted.
    """
    rows: list[dict[str, Any]] = []
    names = [("all", np.ones(len(cohort), bool))]
    names += [(p, (cohort.frame["part"] == p).to_numpy()) for p in dict.fromkeys(cohort.frame["part"])]
    for part, inside in names:
        of = inside & cohort.known
        for k, name in enumerate(cohort.classes if cohort.has.shape[1] else ()):
            mine = of & (cohort.has[:, k] == 1)
            cases, of_cases = int(mine.sum()), int(of.sum())
            patients, of_patients = (int(cohort.frame.loc[m, "group"].nunique()) for m in (mine, of))
            low, high = wilson(patients, of_patients)
            rows.append({
                "part": part, "class": name, "cases": cases, "of_cases": of_cases,
                "share": cases / of_cases if of_cases else np.nan, "patients": patients, "of_patients": of_patients,
                "patient_share": patients / of_patients if of_patients else np.nan, "low": low, "high": high,
            })  # fmt: skip
    return pd.DataFrame(rows)


def cooccurrence(cohort: Cohort, *, seed: int = 0) -> pd.DataFrame:
    """Every pair of classes that a case may have both of: how often, and against what independence would give.

    φ is the correlation of the two labels over cases, its interval from patients drawn with replacement; lift is how
    many times as many cases have both as if the labels were independent. The p value is Fisher's exact test on one
    case of each patient, so that its cases are independent, corrected by Holm over the pairs.

    Returns:
        ``a, b, a_cases, b_cases, both, n, b_given_a, a_given_b, lift, phi, low, high, p, p_holm``; no rows of fewer
        than two classes, or exclusive ones. NaN where a class is in no case or in all.
    """
    if cohort.kind not in ("labels", "mask") or cohort.has.shape[1] < 2:
        return pd.DataFrame()
    known = np.isfinite(cohort.has).all(1)
    if not known.any():
        return pd.DataFrame()
    has, patients = cohort.has[known], cohort.patients[known]
    n, k = has.shape
    a, b = np.triu_indices(k, 1)
    sums = np.concatenate([np.ones((n, 1)), has, has[:, a] * has[:, b]], axis=1)
    phi_of = lambda s: _phi(s[:, :1], s[:, 1 : k + 1][:, a], s[:, 1 : k + 1][:, b], s[:, k + 1 :])  # noqa: E731
    phi = phi_of(sums.sum(0, keepdims=True))[0]
    low, high = patient_interval(sums, patients, phi_of, seed=seed)
    alone = one_each(patients, np.ones(n, bool), seed)
    total = has.sum(0)
    rows = []
    for m, (i, j) in enumerate(zip(a, b)):
        both = int(sums[:, k + 1 + m].sum())
        x, y = has[alone, i], has[alone, j]
        table = [[int(((x == u) & (y == v)).sum()) for v in (1, 0)] for u in (1, 0)]
        defined = np.isfinite(phi[m])
        rows.append({
            "a": cohort.classes[i], "b": cohort.classes[j], "a_cases": int(total[i]), "b_cases": int(total[j]),
            "both": both, "n": n, "b_given_a": both / total[i] if total[i] else np.nan,
            "a_given_b": both / total[j] if total[j] else np.nan,
            "lift": both * n / (total[i] * total[j]) if total[i] * total[j] else np.nan,
            "phi": phi[m], "low": low[m], "high": high[m],
            "p": float(fisher_exact(table)[1]) if defined else np.nan,
        })  # fmt: skip
    found = pd.DataFrame(rows)
    return found.assign(p_holm=holm(found["p"].to_numpy(float)))


def _phi(n: Array, a: Array, b: Array, both: Array) -> Array:
    """φ of 2 × 2 tables from their sums; NaN where a margin is empty."""
    size = np.sqrt(a * (n - a) * b * (n - b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(size > 1e-12, (n * both - a * b) / size, np.nan)
