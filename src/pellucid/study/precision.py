"""What a run in half precision loses: one case beside float32."""

from __future__ import annotations

import pandas as pd

from pellucid.core.case import Case
from pellucid.engine.engine import Engine
from pellucid.study.context import Context


def check_precision(context: Context, case: Case) -> None:
    """Write the table ``precision``, once for a task, where the run is not in float32 or better.

    Columns ``case``, ``precision``, ``relative_error`` (``‖y − y₃₂‖ / ‖y₃₂‖`` of the model's outputs, logits or scores)
    and ``agreement``: the share of voxels with the same label, or 1 where the predicted class is the same, else 0; none
    for a regression.
    """
    precision = context.recipe.precision
    if precision not in ("bf16", "fp16") or len(context.run.table("precision", context.task)):
        return
    p = context.predictor
    (half,), (full,) = context.engine.outputs([case]), Engine(p, device=context.recipe.device).outputs([case])
    agreement = float("nan")
    if p.task == "segmentation":
        agreement = float((p.labels(half[None]) == p.labels(full[None])).double().mean())
    elif p.task == "classification":
        agreement = float(p.predicted_class(half) == p.predicted_class(full))
    error = float((half - full).norm() / full.norm().clamp(min=1e-12))
    row = {"case": case.id, "precision": precision, "relative_error": error, "agreement": agreement}
    context.run.put_table("precision", context.task, pd.DataFrame([row]))
