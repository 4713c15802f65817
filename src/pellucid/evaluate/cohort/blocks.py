"""Ranks of the methods within every patient: what rankings over patients are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.core.metric import METRICS
from pellucid.errors import UsageError
from pellucid.evaluate.run import base_name

NEEDED = ("case", "method", "metric", "value")
# What a map is judged by. Cost is weighed against these, certainty is a question about the prediction.
JUDGED = ("faithfulness", "plausibility", "stability", "sanity", "axiom", "complexity", "modality")
SHARE = 0.5  # of the patients: a method that is defined in fewer is left out, so that the rest can be compared
ROUNDING = 1e-6  # values that differ by no more of their size are a tie


@dataclass(frozen=True)
class Block:
    """Ranks of the methods within each patient.

    Attributes:
        ranks: patients × methods, 1 the best, ties given their mean; complete.
        patients: those with any value, complete or not.
        left_out: methods that are not compared, and why.
    """

    ranks: pd.DataFrame
    patients: int
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def mean(self) -> pd.Series:
        """Mean rank of every method."""
        return self.ranks.mean()


def about(metric: str) -> tuple[str, str]:
    """Direction and question of a metric in a table; ``("none", "")`` for one that is not registered."""
    base = base_name(metric)
    return (METRICS[base].direction, METRICS[base].question) if base in METRICS else ("none", "")


def methods_of(scores: pd.DataFrame) -> list[str]:
    """The methods of a table in the order in which they come."""
    return [str(m) for m in scores["method"].unique()]


def per_patient(scores: pd.DataFrame, group: str = "group") -> dict[str, pd.DataFrame]:
    """For every metric the mean value of each patient (targets within cases, then cases), patients × methods.

    Raises:
        UsageError: a column is missing.
    """
    missing = [c for c in NEEDED if c not in scores]
    if missing:
        raise UsageError(f"ranking: the table has no column {', '.join(map(repr, missing))}")
    owner = scores[group].astype(str) if group in scores else scores["case"].astype(str)
    cases = scores.assign(_group=owner).groupby(["metric", "_group", "case", "method"], sort=False)["value"].mean()
    wide = cases.groupby(level=["metric", "_group", "method"], sort=False).mean().unstack("method").sort_index()
    asked = scores.drop_duplicates(["metric", "method"])
    return {
        str(metric): pd.DataFrame(wide.loc[metric], columns=list(rows["method"]))
        for metric, rows in asked.groupby("metric", sort=False)
    }


def metric_blocks(scores: pd.DataFrame, group: str = "group") -> dict[str, Block]:
    """Ranks by each metric that has a direction."""
    found = {}
    for metric, values in per_patient(scores, group).items():
        direction, _ = about(metric)
        if direction != "none":
            found[metric] = block(values if direction == "lower" else -values)
    return found


def block(values: pd.DataFrame) -> Block:
    """Ranks of ``values``, patients × methods, the smallest first.

    Methods without a value in more than half of the patients are left out; then patients in whom one of the others
    has no value are.
    """
    values = values.loc[np.isfinite(values.to_numpy(float)).any(axis=1)] if len(values) else values
    known = pd.DataFrame(np.isfinite(values.to_numpy(float)), values.index, values.columns)
    share = known.mean() if len(values) else pd.Series(0.0, index=values.columns)
    left_out = {
        str(m): "undefined in every case" if not share[m] else f"undefined in {(~known[m]).sum()} of {len(values)} "
        "patients, so it is not compared"
        for m in values.columns if share[m] < SHARE
    }  # fmt: skip
    kept = values[[m for m in values.columns if m not in left_out]]
    kept = kept.loc[np.isfinite(kept.to_numpy(float)).all(axis=1)] if kept.shape[1] else kept.iloc[:0]
    ranks = pd.DataFrame(levels(kept.to_numpy(float)), kept.index, kept.columns).rank(axis=1)
    return Block(ranks, len(values), left_out)


def joined(blocks: Iterable[Block], methods: list[str], *, everywhere: bool = False) -> Block:
    """One block from several: each patient's methods are ranked by their mean rank.

    Ranks among fewer methods than there are count as if they were spread over all. With ``everywhere`` a method that
    one of the blocks does not rank has no mean: it would be judged by the others alone.
    """
    parts = []
    for b in blocks:
        wide = pd.DataFrame(spread(b.ranks.to_numpy(float), len(methods)), b.ranks.index, b.ranks.columns)
        parts.append(wide.reindex(columns=methods))
    if not parts:
        return Block(pd.DataFrame(columns=methods, dtype=float), 0, dict.fromkeys(methods, "no metric compares it"))
    ranks = pd.concat(parts).groupby(level=0)
    return block(ranks.mean().where(ranks.count() == len(parts)) if everywhere else ranks.mean())


def spread(ranks: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Ranks 1 … m (last axis) brought to 1 … k, so that being last weighs the same whatever the number of rivals."""
    m = ranks.shape[-1]
    return ranks if m in (0, 1, k) else 1 + (ranks - 1) * (k - 1) / (m - 1)


def levels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows of ``values`` as whole numbers in the same order; what differs by rounding only is the same number."""
    order = np.argsort(values, axis=-1)
    ordered = np.take_along_axis(values, order, axis=-1)
    size = np.maximum(np.abs(ordered[..., 1:]), np.abs(ordered[..., :-1]))
    steps = np.zeros(values.shape)
    steps[..., 1:] = np.cumsum(np.diff(ordered, axis=-1) > ROUNDING * size, axis=-1)
    found = np.empty(values.shape)
    np.put_along_axis(found, order, steps, axis=-1)
    return found
