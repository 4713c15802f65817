"""Is the model as good for everybody: each metric within the levels of a stratum, against all other cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t

from pellucid.core.statistics import FEWEST, holm
from pellucid.errors import UsageError
from pellucid.train.asked import Asked
from pellucid.train.draws import interval, patient_draws
from pellucid.train.scores import NO_THRESHOLD, Weighted, too_few
from pellucid.train.weighted import Array, auroc, average, sensitivity, specificity

COLUMNS = [
    "stratum", "level", "class", "metric", "value", "low", "high", "rest", "difference", "difference_low",
    "difference_high", "p", "p_holm", "family", "n", "positives", "groups", "reason",
]  # fmt: skip
MACRO = "macro"


@dataclass(frozen=True, eq=False)
class Measured:
    """One metric of one class, for some of the cases: its draws, row 0 the value itself, or why there are none.

    ``of_equal`` is the variance that the value would have if the true one were the number that it is given.
    """

    values: Array
    reason: str = ""
    of_equal: Callable[[float], float] | None = None

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return not self.reason and bool(np.isfinite(self.values[0]))


def bias_table(
    questions: Sequence[Asked],
    levels: Mapping[str, Sequence[str | None]],
    *,
    groups: Sequence[str] | None = None,
    min_positives: int = 5,
    n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """AUROC, sensitivity, specificity and calibration in the large of each class within each level.

    Calibration in the large is the mean probability less the share of the cases that have the class: above 0 the
    model says it too often. Each level is set against the rest: all other cases whose level is known, the same
    patients drawn for both (a patient may have cases in both). ``p`` is two-sided, from the difference over its
    standard deviation, by Student's t with one degree less than the patients of the smaller side. The deviation is
    that of the draws, of AUROC, sensitivity and specificity at least what it would be for independent cases if both
    sides had one value (for AUROC hanley1982meaning): the draws of few cases near 0 or 1 hardly differ. The interval
    is of the draws' quantiles, so that it may exclude 0 where ``p`` is not small. Holm's correction goes over the
    family: all classes, strata and levels of one metric, the mean over the classes (``"macro"``) apart; two levels are
    one comparison, not two.

    Args:
        questions: of the cases.
        levels: stratum to the level of each case, None where it is not known.
        groups: of each case, normally the patient.
        min_positives: a class of which fewer cases of the level are positive, or negative, has no metric there.
        n_boot: draws.
        seed: of the draws.

    Returns:
        One row per stratum, level, class and metric. With fewer than 5 patients in the level, or in the rest, there is
        no interval and no comparison, and ``reason`` says so. ``macro`` is the mean over the classes that have the
        metric in the level and in the rest, of how many ``reason`` says.

    Raises:
        UsageError: a stratum has not one entry per case.
    """
    if not questions:
        return pd.DataFrame(columns=COLUMNS)
    n = len(questions[0].truth)
    names = np.asarray([str(i) for i in range(n)] if groups is None else [str(g) for g in groups])
    drawn = patient_draws(names, n, n_boot=n_boot, seed=seed)
    weights = np.concatenate([np.ones((1, n)), drawn.weights])
    rows = []
    for stratum, given in levels.items():
        if len(given) != n:
            raise UsageError(f"bias: stratum {stratum!r} has {len(given)} entries for {n} cases")
        of = np.asarray([None if g is None else str(g) for g in given], dtype=object)
        known = np.array([g is not None for g in of])
        for level in sorted({g for g in of if g is not None}):
            inside, rest = of == level, known & (of != level)
            rows += _level(stratum, level, questions, weights, inside, rest, names, min_positives)
    table = pd.DataFrame(rows, columns=COLUMNS)
    return _corrected(table) if len(table) else table


def _level(
    stratum: str, level: str, questions: Sequence[Asked], weights: Array, inside: NDArray[np.bool_],
    rest: NDArray[np.bool_], names: NDArray, least: int,
) -> list[tuple[object, ...]]:  # fmt: skip
    patients, others = (len(set(names[side])) for side in (inside, rest))
    n, here, there = int(inside.sum()), weights[:, inside], weights[:, rest]
    rows = []
    for metric in METRICS:
        own = [_measured(metric, q, here, inside, least) for q in questions]
        against = [_measured(metric, q, there, rest, least) for q in questions]
        found = [
            (q.of, float(q.truth[inside].sum()), _row(a, b, patients, others))
            for q, a, b in zip(questions, own, against)
        ]
        if len(questions) > 1:
            both = [(a, b) for a, b in zip(own, against) if a.known and b.known]
            found.insert(0, (MACRO, np.nan, _mean(both, len(questions), patients, others)))
        rows += [
            (stratum, level, of, metric, *row[:-1], "", n, positives, patients, row[-1]) for of, positives, row in found
        ]
    return rows


def _mean(both: Sequence[tuple[Measured, Measured]], classes: int, patients: int, others: int) -> tuple[object, ...]:
    if not both:
        none = Measured(np.full(1, np.nan), "no class has it in the level and in the rest")
        return _row(none, none, patients, others)
    a, b = (Measured(np.mean([pair[k].values for pair in both], axis=0)) for k in (0, 1))
    return _row(a, b, patients, others, "" if len(both) == classes else f"mean of {len(both)} of {classes}")


def _row(a: Measured, b: Measured, patients: int, others: int, said: str = "") -> tuple[object, ...]:
    """Value, interval, the rest, difference, interval, p, NaN for what Holm makes of it, reason."""
    why = [w for w in (said, a.reason) if w]
    value = float(a.values[0]) if a.known else np.nan
    low = high = np.nan
    few = patients < FEWEST or others < FEWEST
    if a.known and patients >= FEWEST:
        low, high, reason = interval(a.values[1:], patients)
        why += [reason] if reason else []
    elif a.known:
        why.append(f"{patients} patient{'' if patients == 1 else 's'}: too few for an interval")
    if not (a.known and b.known):
        if a.known:
            why.append(f"no comparison: {b.reason or 'undefined'} in the rest")
        return value, low, high, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, "; ".join(why)
    if few:
        if patients >= FEWEST:
            why.append(f"no comparison: {others} patient{'' if others == 1 else 's'} in the rest")
        gap = value - float(b.values[0])
        return value, low, high, float(b.values[0]), gap, np.nan, np.nan, np.nan, np.nan, "; ".join(why)
    gaps = a.values - b.values
    below, above, reason = interval(gaps[1:], patients)
    p = np.nan if reason else _p(a, b, min(patients, others) - 1)
    return value, low, high, float(b.values[0]), float(gaps[0]), below, above, p, np.nan, "; ".join(why)


def _p(a: Measured, b: Measured, degrees: int) -> float:
    gaps = a.values - b.values
    spread = float(np.var(gaps[1:][np.isfinite(gaps[1:])], ddof=1))
    if a.of_equal is not None and b.of_equal is not None:
        # Near 0 and 1 the draws of few cases hardly differ. Were both sides alike, they would have one value.
        one, other = a.of_equal(0.5), b.of_equal(0.5)  # how little each side knows
        both = float(a.values[0] * other + b.values[0] * one) / (one + other)
        spread = max(spread, a.of_equal(both) + b.of_equal(both))
    if spread == 0:
        return 1.0 if gaps[0] == 0 else np.nan
    return float(2 * t.sf(abs(gaps[0]) / np.sqrt(spread), degrees))


def _measured(metric: str, q: Asked, weights: Array, side: NDArray[np.bool_], least: int) -> Measured:
    score, of, variance = METRICS[metric]
    predicted, truth = of(q)[side], q.truth[side]
    few = too_few(truth, max(1, least))
    if few or np.isnan(predicted).any():
        return Measured(np.full(1, np.nan), few or NO_THRESHOLD)
    positives = int(truth.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        values = score(weights, truth, predicted)
    equal = None if variance is None else partial(variance, positives, len(truth) - positives)
    return Measured(values, of_equal=equal)


def _of_auroc(positives: int, negatives: int, value: float) -> float:
    """Variance of an area under the ROC curve by Hanley and McNeil, with the mean of their Q1 and Q2 for both.

    Theirs are of exponential scores, of which those of one class spread more; the mean is near that of normal ones.
    """
    a = min(max(value, 0.0), 1.0)
    q = (a / (2 - a) + 2 * a * a / (1 + a)) / 2 - a * a
    return (a * (1 - a) + (positives + negatives - 2) * q) / (positives * negatives)


def _of_sensitivity(positives: int, _: int, value: float) -> float:
    return value * (1 - value) / positives


def _of_specificity(_: int, negatives: int, value: float) -> float:
    return value * (1 - value) / negatives


def _over(w: Array, y: Array, p: Array) -> Array:
    """Mean probability less the share of positives."""
    return average(w, y, p - y)


Variance = Callable[[int, int, float], float]
METRICS: Mapping[str, tuple[Weighted, Callable[[Asked], Array], Variance | None]] = {
    "auroc": (auroc, lambda q: q.rank, _of_auroc),
    "sensitivity": (sensitivity, lambda q: q.yes, _of_sensitivity),
    "specificity": (specificity, lambda q: q.yes, _of_specificity),
    "calibration_in_the_large": (_over, lambda q: q.said, None),
}


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Holm within each metric; the two rows of a stratum with two levels share one p."""
    out = table.copy()
    for (metric, macro), own in table.groupby(["metric", table["class"] == MACRO], sort=False):
        two = own.groupby("stratum")["level"].transform("nunique") == 2
        mirrored = two & own.duplicated(["stratum", "class"])
        once = own[~mirrored]
        corrected = once.assign(p_holm=holm(once["p"].to_numpy(float)))
        of_first = corrected.drop_duplicates(["stratum", "class"]).set_index(["stratum", "class"])["p_holm"]
        again = own[mirrored]
        keys = pd.MultiIndex.from_frame(again[["stratum", "class"]])
        out.loc[once.index, "p_holm"] = corrected["p_holm"]
        out.loc[again.index, "p_holm"] = np.where(again["p"].notna(), of_first.reindex(keys).to_numpy(), np.nan)
        tests = int(np.isfinite(once["p"]).sum())
        said = f"{metric}{', macro' if macro else ''}: {tests} comparison{'s' * (tests != 1)}"
        out["family"] = out["family"].where(~out.index.isin(own.index), said)
    return out
