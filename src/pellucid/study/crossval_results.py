"""What a cross-validation found, as a table and as ``results.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pellucid.study.context import Context
from pellucid.study.crossval import CrossValidated
from pellucid.study.crossval_fold import development, folder_of, sizes
from pellucid.study.store import write_text

SAID = {"sensitivity": "recall", "f1": "F1", "auroc": "AUROC", "auprc": "AUPRC", "mae": "MAE", "rmse": "RMSE",
        "r2": "R2", "iou": "IoU", "dice": "Dice"}  # fmt: skip


def write_results(context: Context, found: CrossValidated) -> None:
    """Write the table ``fold_summary`` and the file ``cross_validation/TASK/results.json``."""
    summary = fold_summary(found.metrics, found.pooled.metrics)
    context.run.put_table("fold_summary", context.task, summary)
    performance = context.run.table("performance", context.task) if found.final is not None else pd.DataFrame()
    if len(performance):
        performance = performance[(performance["part"] == "test") & (performance["stratum"] == "all")]
    content = results(context, found, summary, performance)
    text = json.dumps(plain(content), indent=1, allow_nan=False)
    write_text(folder_of(context) / "results.json", text)


def fold_summary(metrics: pd.DataFrame, pooled: pd.DataFrame) -> pd.DataFrame:
    """A row per metric and class: mean and sd over the folds where it is defined, and of all folds' cases pooled.

    Args:
        metrics: of each fold.
        pooled: of the out-of-fold predictions.

    Returns:
        ``metric``, ``class``, ``mean``, ``sd`` (of a sample, over n − 1), ``folds`` (how many it is defined in), and
        of the pooled predictions ``pooled``, ``low``, ``high``, ``n`` and ``reason``.
    """
    rows = []
    for row in pooled.to_dict("records"):
        own = metrics[(metrics["metric"] == row["metric"]) & (metrics["class"] == row["class"])]["value"]
        values = own[np.isfinite(own)].to_numpy(float)
        rows.append(
            {
                "metric": row["metric"], "class": row["class"],
                "mean": float(values.mean()) if len(values) else math.nan,
                "sd": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
                "folds": len(values), "pooled": row["value"], "low": row["low"], "high": row["high"], "n": row["n"],
                "reason": row["reason"],
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def results(
    context: Context, found: CrossValidated, summary: pd.DataFrame, test: pd.DataFrame
) -> dict[str, Any]:
    """The content of ``results.json``; of a metric with several classes it is their mean that is quoted."""
    work, t = context.work, context.work.train
    assert t is not None
    quoted = summary.drop_duplicates("metric")
    final = found.final
    return {
        "title": work.title or work.name, "task": work.name, "network": work.model.network,
        "learning rate": t.lr, "momentum": 0.9 if t.momentum is None and t.optimizer == "sgd" else t.momentum,
        "patience": t.patience, "delta": t.delta, "optimizer": t.optimizer, "batch size": t.batch_size,
        "epochs": t.epochs, "seed": context.recipe.seed,
        "folds": {"count": len(found.dealt), "seed": found.dealt.seed, "digest": found.dealt.digest,
                  "notes": list(found.dealt.notes), **sizes(development(context))},
        **{
            f"fold {n}": _quoted(found.metrics[found.metrics["fold"] == n]) | facts
            for n, facts in found.facts.items()
        },
        "final": {_name(r["metric"]): r["mean"] for r in quoted.to_dict("records")},
        "variance": {_name(r["metric"]): r["sd"] ** 2 for r in quoted.to_dict("records")},
        "sd": {_name(r["metric"]): r["sd"] for r in quoted.to_dict("records")},
        "out of fold": _quoted(summary.rename(columns={"pooled": "value"})),
        "final fit": None if final is None else {"epochs": len(final.history), **sizes(development(context))},
        "test": None if final is None else _quoted(test) | sizes(context.part("test")),
    }  # fmt: skip


def _quoted(table: pd.DataFrame) -> dict[str, Any]:
    """The first row of each metric, the one to quote."""
    rows = table.drop_duplicates("metric").to_dict("records") if len(table) else []
    return {_name(r["metric"]): {k: r[k] for k in ("value", "low", "high", "n")} for r in rows}


def _name(metric: Any) -> str:
    return SAID.get(str(metric), str(metric))


def plain(value: Any) -> Any:
    """As JSON has it: what is not finite is null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
