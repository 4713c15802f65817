"""Slow literal twin of the comparison of refined maps: every difference by hand, every draw of patients in a loop."""

from __future__ import annotations

import math

import numpy as np


def by_case(rows, metric, value_of):
    """Case → (patient, mean over its targets of what ``value_of(methods)`` gives where it is known)."""
    keys = {}
    for r in rows:
        if r["metric"] == metric:
            keys.setdefault((r["group"], r["case"], r["target_index"]), {})[r["method"]] = r["value"]
    cases = {}
    for (patient, case, _), values in keys.items():
        v = value_of(values)
        if not math.isnan(v):
            cases.setdefault((patient, case), []).append(v)
    return {k: sum(v) / len(v) for k, v in cases.items()}, sorted({p for p, _, _ in keys})


def mean_and_interval(cases, patients, n_boot, seed):
    """Mean over cases, and the middle 95 % of the means of as many patients drawn with replacement."""
    means = []
    for counts in np.random.default_rng(seed).multinomial(len(patients), [1 / len(patients)] * len(patients), n_boot):
        drawn = [v for k, p in zip(counts, patients) for _ in range(k) for (q, _), v in cases.items() if q == p]
        if drawn:
            means.append(sum(drawn) / len(drawn))
    return sum(cases.values()) / len(cases), float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def difference(rows, metric, method, by="segx", control=None):
    """Refined less plain, of each case and target."""
    return by_case(rows, metric, lambda v: v[f"{by}({method})"] - v[method])


def beyond(rows, metric, method, by="segx", control="random"):
    """That, less the same of the control."""
    return by_case(
        rows, metric, lambda v: (v[f"{by}({method})"] - v[method]) - (v[f"{by}({control})"] - v[control])
    )


def against(rows, metric, method, by="segx", control="random"):
    """Refined less the refined control."""
    return by_case(rows, metric, lambda v: v[f"{by}({method})"] - v[f"{by}({control})"])
