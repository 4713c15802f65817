"""What a search goes by: always something of the validation cases, and which way of it is better."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pellucid.errors import UsageError, nearest

Direction: TypeAlias = Literal["minimize", "maximize"]
BY_EPOCH = ("val_loss", "val_metric")  # known at every epoch, so that a trial can be pruned by them
METRIC = {"classification": "accuracy", "regression": "rmse", "segmentation": "dice"}
# Which way is better. Sensitivity, specificity or precision alone are won by a model that says next to nothing else.
DIRECTIONS: dict[str, dict[str, Direction]] = {
    "classification": {
        "accuracy": "maximize", "balanced_accuracy": "maximize", "auroc": "maximize", "auprc": "maximize",
        "f1": "maximize",
    },
    "regression": {"mae": "minimize", "rmse": "minimize", "pearson": "maximize", "r2": "maximize"},
    "segmentation": {"dice": "maximize", "iou": "maximize"},
}  # fmt: skip


def direction(objective: str, task: str) -> Direction:
    """``minimize`` or ``maximize``.

    Raises:
        UsageError: no such objective for this task, or one of the test cases.

    Example:
        >>> direction("val_metric", "segmentation"), direction("val_loss", "regression")
        ('maximize', 'minimize')
    """
    if objective == "val_loss":
        return "minimize"
    known = DIRECTIONS[task]
    name = METRIC[task] if objective == "val_metric" else objective
    if name in known:
        return known[name]
    if objective.startswith("test"):
        raise UsageError(f"objective {objective!r}: a search chooses on the validation cases, never on the test cases")
    raise UsageError(f"no objective {objective!r} for a {task}; {nearest(objective, [*BY_EPOCH, *known])}")
