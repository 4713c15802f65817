"""Does a number tell right predictions from wrong ones? Its AUROC as an error detector, and risk against coverage.

SegU's claim (zhang2025segx) is that its certainty is higher where the prediction is right; this puts it to the test,
for that and for any other number.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import mannwhitneyu

from pellucid.core.metric import METRICS
from pellucid.core.refiner import as_refined
from pellucid.core.statistics import Array
from pellucid.errors import UsageError
from pellucid.evaluate.cohort.areas import Apart, apart, areas, too_few, weights_of
from pellucid.evaluate.run import base_name
from pellucid.types import Direction

NEEDED = ("case", "method", "metric", "value")
OWN = ["n", "wrong", "auroc", "low", "high", "p", "aurc", "e_aurc"]
RIVALS = ("confidence", "random")
COLUMNS = [
    "metric", "method", *OWN,
    *(c for r in RIVALS for c in (r, f"over_{r}", f"over_{r}_low", f"over_{r}_high")), "note",
]  # fmt: skip
CURVE = ["metric", "method", "coverage", "risk"]


@dataclass(frozen=True, eq=False)
class ErrorDetector:
    """How well a number separates right predictions from wrong ones.

    Attributes:
        n: predictions with a value.
        wrong: those of them that were wrong.
        undefined: predictions without a value (left out of everything here).
        auroc: how likely a right prediction is more certain than a wrong one, a tie counting half; 0.5 is chance.
        low, high: its 95 % bootstrap interval, patients drawn with replacement.
        p: two-sided Mann–Whitney U test, each prediction taken for itself, so too small where patients have several.
        coverage, risk: ``(n,)`` the share of predictions that are kept, the most certain first, and how many of those
            are wrong; predictions that tie come in by the mean over their orders.
        aurc: area under that curve, the mean of ``risk``; lower is better.
        best_aurc: what it is if every right prediction is more certain than every wrong one.
        random_aurc: what a number that knows nothing gives: the share of wrong predictions.
        note: why something is missing.
    """

    n: int
    wrong: int
    undefined: int
    auroc: float
    low: float
    high: float
    p: float
    coverage: Array
    risk: Array
    aurc: float
    best_aurc: float
    random_aurc: float
    note: str = ""

    @property
    def e_aurc(self) -> float:
        """Excess area: ``aurc`` less the best there is with as many wrong predictions. Source: geifman2019bias."""
        return self.aurc - self.best_aurc


class Detected(NamedTuple):
    """The two tables of :func:`detect`."""

    detector: pd.DataFrame
    risk_coverage: pd.DataFrame


def error_detector(
    values: ArrayLike, correct: ArrayLike, groups: Sequence[Any] | None = None, *, direction: Direction = "higher",
    n_boot: int = 1000, seed: int = 0,
) -> ErrorDetector:  # fmt: skip
    """A number as a detector of errors. Sources: fawcett2006introduction, geifman2019bias.

    Args:
        values: ``(n,)`` one number per prediction; NaN where it is undefined.
        correct: ``(n,)`` whether the prediction was right.
        groups: ``(n,)`` what the bootstrap draws, normally the patient; each prediction by itself if None.
        direction: ``"higher"`` if high values speak for a right prediction, ``"lower"`` if low ones do.
        n_boot: draws.
        seed: of the draws.

    Returns:
        NaN and a note where there is no wrong prediction, or no right one; no interval where fewer than 5 patients have
        a right one or a wrong one.

    Raises:
        UsageError: lengths that differ, no direction, ``correct`` that is not yes or no, or ``n_boot`` under 1.

    Example:
        >>> found = error_detector([0.9, 0.8, 0.3, 0.4], [True, True, False, True])
        >>> found.auroc, found.wrong, found.risk.tolist()
        (1.0, 1, [0.0, 0.0, 0.0, 0.25])
    """
    certainty, right, owner = _checked(values, correct, groups, direction, n_boot)
    known = np.isfinite(certainty)
    undefined = int((~known).sum())
    certainty, right, owner = certainty[known], right[known], owner[known]
    n, wrong = len(right), int((~right).sum())
    coverage, risk = risk_coverage(certainty, right)
    nan = float("nan")
    aurc, random = (float(risk.mean()), wrong / n) if n else (nan, nan)
    best = best_aurc(n, wrong) if n else nan
    if not 0 < wrong < n:
        note = "no prediction has a value" if not n else f"no {'wrong' if not wrong else 'right'} prediction"
        return ErrorDetector(n, wrong, undefined, nan, nan, nan, nan, coverage, risk, aurc, best, random, note)
    p = float(mannwhitneyu(certainty[right], certainty[~right], alternative="two-sided").pvalue)
    low, high, note = _interval(certainty, right, owner, n_boot, seed)
    area = float(areas(certainty, right, np.ones((1, n)))[0])
    return ErrorDetector(n, wrong, undefined, area, low, high, p, coverage, risk, aurc, best, random, note)


def risk_coverage(certainty: Array, right: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Coverage and risk ``(n,)`` as the k most certain predictions are kept, k from 1 to n; ties by their mean."""
    n = len(right)
    order = np.argsort(-certainty, kind="stable")
    ties = np.unique(-certainty, return_inverse=True)[1][order]
    size = np.bincount(ties)
    errors = (np.bincount(ties, ~right[order]) / size)[ties] if n else np.zeros(0)
    kept = np.arange(1, n + 1)
    return kept / max(n, 1), np.cumsum(errors) / kept


def best_aurc(n: int, wrong: int) -> float:
    """Area under the risk–coverage curve of an order that leaves all ``wrong`` of ``n`` predictions to the end."""
    kept = np.arange(1, n + 1)
    return float((np.maximum(kept - (n - wrong), 0) / kept).mean())


def detect(
    scores: pd.DataFrame, correct: Mapping[str, bool] | Mapping[tuple[str, int], bool], *,
    metrics: Sequence[str] | None = None, confidence: Mapping[Any, float] | None = None, group: str = "group",
    n_boot: int = 1000, seed: int = 0, control: str = "random",
) -> Detected:  # fmt: skip
    """Every metric and method of a table as a detector of wrong predictions.

    A metric whose lower values are better is turned round; one without a direction is taken as it is.

    Args:
        scores: long table: ``case``, ``group``, ``method``, ``metric``, ``value`` (NaN where undefined), and
            ``target_index`` where ``correct`` goes by it.
        correct: case to whether its prediction was right, and a case's value is the mean over its targets; or (case,
            target_index) to whether that was right, for cases of which several things are said. What is not named is
            left out.
        metrics: those to test; all of the table if None.
        confidence: the model's own, keyed as ``correct``; higher is more certain.
        group: column of what the bootstrap draws, normally the patient; every case its own if there is none.
        n_boot, seed: as in :func:`error_detector`.
        control: the method that knows nothing of the model; a refined map is set beside the control refined as it is
            (``segx(grad_cam)`` beside ``segx(random)``), and beside no other.

    Returns:
        ``detector``: one row per metric and method: ``n``, ``wrong``, ``auroc`` with its interval ``low`` and ``high``,
        ``p``, ``aurc``, ``e_aurc``; the AUROC of the model's ``confidence`` on the same predictions, and how much
        better the metric is, ``over_confidence``, with its paired 95 % interval; the same for the metric of the
        ``random`` map; ``note``. ``risk_coverage``: the curve, ``coverage`` and ``risk``.

    Raises:
        UsageError: a column is missing, or a metric that is asked for; see also :func:`error_detector`.
    """
    by_target = any(isinstance(k, tuple) for k in correct)
    missing = [c for c in (*NEEDED, *(["target_index"] if by_target else [])) if c not in scores]
    if missing:
        raise UsageError(f"detect: the table has no column {', '.join(map(repr, missing))}")
    there = list(dict.fromkeys(scores["metric"].astype(str)))
    for name in metrics or ():
        if name not in there:
            raise UsageError(f"detect: the table has no metric {name!r} (it has: {', '.join(there) or 'none'})")
    right = {_key(k): v for k, v in correct.items()}
    sure = {_key(k): float(v) for k, v in (confidence or {}).items()}
    owner = scores[group].where(scores[group].notna(), scores["case"]) if group in scores else scores["case"]
    ids = scores["case"].astype(str)
    keys = pd.Series(list(zip(ids, scores["target_index"].astype(int))) if by_target else ids, scores.index, object)
    table = scores.assign(_key=keys, _group=owner.astype(str))
    table = table[table["metric"].isin(there if metrics is None else list(metrics)) & keys.isin(right)]
    each = {"value": ("value", "mean"), "owner": ("_group", "first")}
    parts = {
        (str(metric), str(method)): one.groupby("_key", sort=False).agg(**each)
        for (metric, method), one in table.groupby(["metric", "method"], sort=False)
    }
    rows, curves = [], []
    for (metric, method), cases in parts.items():
        truth, direction = [right[c] for c in cases.index], _direction(metric)
        found = error_detector(
            cases["value"], truth, list(cases["owner"]), direction=direction, n_boot=n_boot, seed=seed
        )
        row = {"metric": metric, "method": method, **{k: getattr(found, k) for k in OWN}, "note": found.note}
        values, yes, who = _checked(cases["value"], truth, list(cases["owner"]), direction, n_boot)
        rivals = {"confidence": np.array([sure.get(c, np.nan) for c in cases.index], float)} if sure else {}
        chance = as_refined(method, control)
        if method != chance and (metric, chance) in parts:
            turn = -1.0 if direction == "lower" else 1.0
            rivals["random"] = turn * parts[metric, chance]["value"].reindex(cases.index).to_numpy(float)
        for rival, theirs in rivals.items():
            row |= _beside(rival, apart(values, theirs, yes, who, n_boot=n_boot, seed=seed))
        rows.append(row)
        curves.append(
            pd.DataFrame({"metric": metric, "method": method, "coverage": found.coverage, "risk": found.risk})
        )
    curve = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=CURVE)
    return Detected(pd.DataFrame(rows, columns=COLUMNS), curve[CURVE])


def _key(key: Hashable) -> Hashable:
    return (str(key[0]), int(key[1])) if isinstance(key, tuple) else str(key)


def _beside(rival: str, a: Apart) -> dict[str, float]:
    return {rival: a.other, f"over_{rival}": a.difference, f"over_{rival}_low": a.low, f"over_{rival}_high": a.high}


def _direction(metric: str) -> Direction:
    base = base_name(metric)
    return "lower" if base in METRICS and METRICS[base].direction == "lower" else "higher"


def _checked(
    values: ArrayLike, correct: ArrayLike, groups: Sequence[Any] | None, direction: str, n_boot: int
) -> tuple[Array, NDArray[np.bool_], NDArray[np.int64]]:
    """Certainty (turned so that higher is more certain), correct, and the group's number."""
    certainty, right = np.asarray(values, float), np.asarray(correct)
    names = np.arange(len(certainty)) if groups is None else np.asarray([str(g) for g in groups])
    if certainty.ndim != 1 or certainty.shape != right.shape or certainty.shape != names.shape:
        raise UsageError(
            f"error_detector: values {certainty.shape}, correct {right.shape} and groups {names.shape} do not fit; "
            "give one of each per prediction"
        )
    if len(right) and not np.isin(right, (0, 1)).all():
        raise UsageError("error_detector: correct has values that are neither true nor false")
    if direction not in ("higher", "lower"):
        raise UsageError(f"error_detector: direction={direction!r}; choose 'higher' or 'lower'")
    if n_boot < 1:
        raise UsageError(f"error_detector: n_boot is {n_boot}; give at least 1")
    sign = 1.0 if direction == "higher" else -1.0
    return sign * certainty, right.astype(bool), np.unique(names, return_inverse=True)[1]


def _interval(
    certainty: Array, right: NDArray[np.bool_], owner: NDArray[np.int64], n_boot: int, seed: int
) -> tuple[float, float, str]:
    """95 % percentile interval, groups drawn with replacement; draws without a right or a wrong one are left out."""
    note = too_few(right, owner)
    if note:
        return float("nan"), float("nan"), note
    found = np.concatenate([areas(certainty, right, w) for w in weights_of(owner, n_boot, seed)])
    usable = found[np.isfinite(found)]
    if len(usable) < n_boot / 2:
        return float("nan"), float("nan"), "right or wrong predictions of too few patients: no interval"
    low, high = np.quantile(usable, [0.025, 0.975])
    alone = "the values do not overlap, so the bootstrap gives the interval no width" if low == high else ""
    return float(low), float(high), alone
