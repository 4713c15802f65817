"""The stages of a run, in the order in which they go."""

from __future__ import annotations

from collections.abc import Callable

from pellucid.study.context import Context
from pellucid.study.stages import aggregate, analyse, data, eda, evaluate, explain, refine, train

STAGES: dict[str, Callable[[Context], None]] = {
    "data": data.run,
    "eda": eda.run,
    "train": train.run,
    "explain": explain.run,
    "refine": refine.run,
    "evaluate": evaluate.run,
    "aggregate": aggregate.run,
    "analyse": analyse.run,
}
# The tables that each stage makes, forgotten when it starts anew.
MAKES: dict[str, tuple[str, ...]] = {
    "data": ("data",),
    "eda": eda.MAKES,
    "train": (
        "history", "performance", "predictions", "thresholds", "calibration", "reliability", "folds",
        "fold_predictions", "fold_summary", "roc", "pr", "confusion", "bias",
    ),
    "explain": ("verdicts", "costs", "outcomes"),
    "evaluate": ("scores", "details", "agreement_cases"),
    "aggregate": ("regions", "aggregate_costs"),
    "analyse": ("segmentation_quality", "claim_maps", "claims"),
}
