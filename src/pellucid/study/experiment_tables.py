"""The tables of an experiment: each level over the folds, and the levels against each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pellucid.core.metric import METRICS as OF_MAPS
from pellucid.core.statistics import holm
from pellucid.evaluate.cohort.intervals import gap, signed_rank
from pellucid.evaluate.run import base_name
from pellucid.study.experiment_arms import METRICS
from pellucid.study.experiment_level import Explanations, Trainings, mean_over_cases
from pellucid.train import compare_folds, spread_of_folds

SIDES = {"maximize": "higher", "minimize": "lower"}
TESTS = ("p", "corrected_p", "wilcoxon_p", "patients_p")

Level = Trainings | Explanations


@dataclass(frozen=True)
class Factor:
    """One factor with its levels in the recipe's order.

    Attributes:
        name: of the factor.
        levels: name to numbers.
        baseline: what the others are tested against.
        metrics: the first one decides.
        loss: the one among them that is a mean over cases, so that it can be tested over patients; of methods all are.
        task: of the model; None for methods.
        ratio: validation cases over training cases of a fold.
        pairs: whether all pairs are tested.
    """

    name: str
    levels: Mapping[str, Level]
    baseline: str
    metrics: list[str]
    loss: str | None
    task: str | None
    ratio: float
    pairs: bool
    seed: int

    def direction(self, metric: str) -> str:
        """``higher``, ``lower`` or ``none``: what is better."""
        if self.task is None:
            base = base_name(metric)
            return OF_MAPS[base].direction if base in OF_MAPS else "none"
        return SIDES[METRICS[self.task][metric]] if metric in METRICS[self.task] else "lower"

    def over_patients(self, metric: str) -> str | None:
        """The value of each case that is tested over patients beside this metric; None where there is none."""
        return metric if self.task is None else self.loss if metric == self.loss else None

    def compared(self) -> list[tuple[str, str]]:
        """The pairs that are tested: each level against the baseline, or all pairs."""
        others = [n for n in self.levels if n != self.baseline]
        return list(itertools.combinations(self.levels, 2)) if self.pairs else [(n, self.baseline) for n in others]


def folds_table(factor: Factor) -> pd.DataFrame:
    """A row per level, metric and fold."""
    rows = []
    for name, level in factor.levels.items():
        for metric in factor.metrics:
            said = level.reasons(metric)
            for n, value in zip(level.numbers, level.by_fold(metric)):
                of, cases, why = said.get(n, ("", 0, "not done"))
                rows.append(
                    {"factor": factor.name, "level": name, "fold": n, "metric": metric, "class": of, "value": value,
                     "n": cases, "reason": why if math.isfinite(value) or why else "not done in every arm"}
                )  # fmt: skip
    return pd.DataFrame(rows)


def summary_table(factor: Factor) -> pd.DataFrame:
    """A row per level and metric."""
    rows = []
    for name, level in factor.levels.items():
        for metric in factor.metrics:
            spread = spread_of_folds(level.by_fold(metric), ratio=factor.ratio)
            pooled = _pooled(factor, level, metric)
            said = next(iter(level.reasons(metric).values()), ("", 0, ""))
            rows.append(
                {"factor": factor.name, "level": name, "baseline": name == factor.baseline, "control": level.control,
                 "metric": metric, "class": said[0], "direction": factor.direction(metric), "mean": spread.mean,
                 "sd": spread.sd, "low": spread.low, "high": spread.high, "folds": spread.folds,
                 "of": len(level.numbers), "pooled": pooled[0], "pooled_low": pooled[1], "pooled_high": pooled[2],
                 "arms": level.asked if isinstance(level, Trainings) else 1, **level.cost,
                 "reason": _why(level, spread.folds)}
            )  # fmt: skip
    return pd.DataFrame(rows)


def tests_table(factor: Factor) -> pd.DataFrame:
    """A row per pair that is tested and metric; Holm's correction is over the pairs of a factor and metric."""
    parts = []
    for metric in factor.metrics:
        rows = [_tested(factor, metric, a, b) for a, b in factor.compared()]
        part = pd.DataFrame(rows)
        for test in TESTS:
            part[f"{test}_holm"] = holm(part[test].to_numpy(float))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _tested(factor: Factor, metric: str, a: str, b: str) -> dict[str, Any]:
    one, other = factor.levels[a], factor.levels[b]
    first, second = one.by_fold(metric), other.by_fold(metric)
    both = [n for n, x, y in zip(one.numbers, first, second) if math.isfinite(x) and math.isfinite(y)]
    row: dict[str, Any] = {
        "factor": factor.name, "metric": metric, "level": a, "against": b, "direction": factor.direction(metric),
        "folds": len(both),
    }  # fmt: skip
    nothing = ("difference", "sd", "low", "high", "t", "p", "corrected_t", "corrected_p", "wilcoxon_p")
    row |= dict.fromkeys(nothing, math.nan)
    row["note"] = ""
    if len(both) < 2:
        row["note"] = f"{len(both)} fold{'' if len(both) == 1 else 's'} with both: no test over folds"
    else:
        found = compare_folds(first, second, ratio=factor.ratio)
        row |= {k: getattr(found, k) for k in nothing}
        if found.sd == 0:
            row["note"] = f"the difference is {found.difference:.3g} in every fold: no spread to test it by"
            row |= dict.fromkeys(("p", "corrected_p"), math.nan)
    row |= dict(zip(("pooled_difference", "pooled_low", "pooled_high"), _pooled_gap(factor, metric, one, other, both)))
    value = factor.over_patients(metric)
    row |= {"patients": 0, "patients_p": math.nan}
    if value is not None:
        gaps = _gaps(one, other, value, both)
        if len(gaps):
            groups = np.unique(gaps["group"].to_numpy(str), return_inverse=True)[1]
            p = signed_rank(gaps["value"].to_numpy(float), groups)
            row |= {"patients": int(gaps["group"].nunique()), "patients_p": p}
    return row


def _pooled(factor: Factor, level: Level, metric: str) -> tuple[float, float, float]:
    """All folds' predictions together: the metric, and its interval over patients."""
    if isinstance(level, Explanations):
        return mean_over_cases(level.per_case(metric, level.folds), factor.seed)
    return _ends(level.pooled(factor.metrics, metric, level.folds))


def _pooled_gap(
    factor: Factor, metric: str, one: Level, other: Level, both: Sequence[int]
) -> tuple[float, float, float]:
    """Their difference, patients drawn once for both, on the folds that both have."""
    if isinstance(one, Explanations) or isinstance(other, Explanations):
        return mean_over_cases(_gaps(one, other, metric, both), factor.seed)
    a, b = one.pooled(factor.metrics, metric, both), other.pooled(factor.metrics, metric, both)
    return _ends(None if a is None or b is None else a - b)


def _ends(draws: Any) -> tuple[float, float, float]:
    if draws is None:
        return math.nan, math.nan, math.nan
    known = draws[1:][np.isfinite(draws[1:])]
    if len(known) < 0.5 * (len(draws) - 1):
        return float(draws[0]), math.nan, math.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(draws[0]), float(low), float(high)


def _gaps(one: Level, other: Level, value: str, both: Sequence[int]) -> pd.DataFrame:
    """``group`` and ``value`` (first minus second) of the cases that both have."""
    a, b = (level.per_case(value, both) for level in (one, other))
    joined = a.join(b[["value"]].rename(columns={"value": "value_other"}), how="inner")
    if not len(joined):
        return joined
    made = gap(joined["value"].to_numpy(float), joined["value_other"].to_numpy(float))
    return joined.assign(value=made)[["group", "value"]].dropna()


def _why(level: Level, folds: int) -> str:
    left = len(level.numbers) - len(level.folds)
    if left:
        return f"{left} of {len(level.numbers)} folds are not done"
    undefined = len(level.numbers) - folds
    return f"undefined in {undefined} of {len(level.numbers)} folds" if undefined else ""
