"""What can be said of an experiment, in plain sentences; the report and ``experiment.json`` say the same."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from pellucid.study.crossval_results import SAID

ALPHA = 0.05


def sentences(factor: str, summary: pd.DataFrame, tests: pd.DataFrame, metric: str) -> list[str]:
    """What the tests say of a factor by one metric: first which levels differ, then what the tests cannot tell.

    Args:
        factor: its name.
        summary: its rows of ``experiment_summary``.
        tests: its rows of ``experiment_tests``.
        metric: to decide by.
    """
    own, tested = summary[summary["metric"] == metric], tests[tests["metric"] == metric]
    name = SAID.get(metric, metric.replace("_", " "))
    if not len(tested):
        return []
    known = tested[tested["corrected_p_holm"].notna()]
    found = [_differs(r, name) for r in known[known["corrected_p_holm"] < ALPHA].to_dict("records")]
    against = tested["against"].unique()
    whom = f"from {against[0]}" if _one_baseline(tested) else "from another"
    if not len(known):
        found.append(f"No level of {factor} could be tested over folds in {name}: {_reason(tested)}.")
    elif not found:
        folds = int(known["folds"].max())
        found.append(
            f"No level differs {whom} in {name} at 5 % (corrected resampled t-test over {folds} folds, Holm's "
            f"correction for {_count(len(known))}). That is no proof that they are equal: {_detectable(known, name)}."
        )
    left = len(tested) - len(known)
    if len(known) and left:
        found.append(f"{_count(left)} could not be tested: {_reason(tested[tested['corrected_p_holm'].isna()])}.")
    found += _pooled(tested, name) + _over_patients(tested, name)
    missing = own[own["folds"] < own["of"]]
    if len(missing):
        these = ", ".join(f"{r['level']} {r['folds']} of {r['of']} ({r['reason']})" for r in missing.to_dict("records"))
        found.append(f"Fewer folds than there are: {these}.")
    return found


def wilcoxon_note(folds: int) -> str:
    """What Wilcoxon's test over so few folds can say at best."""
    least = 2 / 2**folds
    said = f"over {folds} folds Wilcoxon's two-sided p is {least:.2g} at least"
    return f"{said}, so that it can never be below 5 %" if least >= ALPHA else said


def _differs(r: dict[Any, Any], name: str) -> str:
    ends = f"{r['difference']:+.3f} [{r['low']:+.3f}, {r['high']:+.3f}], {_p(r['corrected_p_holm'])}"
    better = r["direction"] != "none" and (r["difference"] > 0) == (r["direction"] == "higher")
    word = "differs from" if r["direction"] == "none" else "is better than" if better else "is worse than"
    return f"{r['level']} {word} {r['against']} in {name} by {ends} after Holm's correction."


def _pooled(tested: pd.DataFrame, name: str) -> list[str]:
    """The differences whose bootstrap interval over patients excludes zero."""
    apart = tested[(tested["pooled_low"] > 0) | (tested["pooled_high"] < 0)]
    if not len(apart):
        return []
    these = "; ".join(
        f"{r['level']} − {r['against']} {r['pooled_difference']:+.3f} [{r['pooled_low']:+.3f}, {r['pooled_high']:+.3f}]"
        for r in apart.to_dict("records")
    )
    return [
        f"Pooled over the folds, intervals over patients that exclude zero in {name}: {these}. They take the trained "
        "models as they are, another training may come out otherwise, and they are not corrected for their number."
    ]


def _over_patients(tested: pd.DataFrame, name: str) -> list[str]:
    known = tested[tested["patients_p_holm"].notna()]
    if not len(known):
        return []
    n = int(known["patients"].max())
    low = known[known["patients_p_holm"] < ALPHA]
    if not len(low):
        least = _p(known["patients_p_holm"].min())
        return [f"Case by case, over {n} patients, Wilcoxon's test of {name} tells none apart ({least} or more)."]
    these = ", ".join(f"{r['level']} and {r['against']} ({_p(r['patients_p_holm'])})" for r in low.to_dict("records"))
    return [f"Case by case, over {n} patients, Wilcoxon's test of {name} tells apart: {these}."]


def _detectable(known: pd.DataFrame, name: str) -> str:
    half = ((known["high"] - known["low"]) / 2).median()
    if not math.isfinite(half):
        return "the folds are few"
    return f"the 95 % interval of a difference in {name} is ± {half:.3f} here, in the median of the comparisons"


def _one_baseline(tested: pd.DataFrame) -> bool:
    return tested["against"].nunique() == 1 and tested["level"].nunique() == len(tested)


def _reason(tested: pd.DataFrame) -> str:
    reasons = [str(n) for n in tested["note"].unique() if n]
    return "; ".join(reasons) if reasons else "the metric is undefined"


def _count(n: int) -> str:
    return f"{n} comparison{'' if n == 1 else 's'}"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p {value:.3f}"
