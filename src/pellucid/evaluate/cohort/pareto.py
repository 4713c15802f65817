"""Faithfulness against cost: which methods are worse than another one that costs no more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pellucid.core.refiner import base_of
from pellucid.evaluate.cohort.blocks import about

COLUMNS = ["method", "control", "cost", "value", "metric", "direction", "dominated", "by"]
QUESTION = "faithfulness"


def pareto(
    comparison: pd.DataFrame, costs: pd.DataFrame, aggregate: pd.DataFrame | None = None, *,
    controls: Sequence[str] = ("random", "edge"),
) -> pd.DataFrame:  # fmt: skip
    """Which methods are dominated in (value, cost): another is as good and as cheap, and better in one of them.

    Controls take part: a map that costs more than the edges of the picture and is no more faithful is dominated.
    Values are means over cases; whether a difference is more than chance is the comparison's to say.

    Args:
        comparison: ``metric``, ``method``, ``mean`` (see ``compare``).
        costs: a row per map: ``method``, ``forwards``, ``backwards``.
        aggregate: ``question``, ``method``, ``mean_rank``; gives the rows of the metric ``"faithfulness"``.
        controls: methods that know nothing of the model.

    Returns:
        One row per faithfulness measure and method: ``cost`` in passes of a map (forwards and backwards, mean),
        ``value``, ``direction`` of the value, ``dominated``, and ``by``, the best of those that dominate it.
    """
    if not len(costs) or not {"forwards", "backwards"} <= set(costs):
        return _table([])
    cost = (costs["forwards"] + costs["backwards"]).groupby(costs["method"]).mean()
    found = []
    for metric, rows in comparison.groupby("metric", sort=False) if len(comparison) else ():
        direction, question = about(str(metric))
        if question == QUESTION and direction != "none":
            found.append(_one(str(metric), direction, rows.set_index("method")["mean"], cost))
    if aggregate is not None and len(aggregate):
        own = aggregate[aggregate["question"] == QUESTION].set_index("method")["mean_rank"]
        if len(own):
            found.append(_one(QUESTION, "lower", own, cost))
    return _table(found).assign(control=lambda t: t["method"].map(base_of).isin(list(controls)))[COLUMNS]


def _one(metric: str, direction: str, values: pd.Series, cost: pd.Series) -> pd.DataFrame:
    names = [m for m in values.index if m in cost.index and np.isfinite(values[m])]
    worse, price = values[names].to_numpy(float), cost[names].to_numpy(float)
    worse = -worse if direction == "higher" else worse
    by = []
    for w, c in zip(worse, price):
        better = np.flatnonzero((worse <= w) & (price <= c) & ((worse < w) | (price < c)))
        best = better[np.lexsort((price[better], worse[better]))]
        by.append(str(names[int(best[0])]) if len(best) else "")
    return pd.DataFrame(
        {
            "method": names, "cost": price, "value": values[names].to_numpy(float), "metric": metric,
            "direction": direction, "dominated": [bool(b) for b in by], "by": by,
        }
    )  # fmt: skip


def _table(parts: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
