"""The maps of all explained cases beside each other, for the metrics that look over a cohort."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.core.metric import Metric
from pellucid.core.predictor import Predictor
from pellucid.evaluate.cohort.signatures import Cohort, signatures
from pellucid.study.context import Context


def cohort(context: Context, metrics: Sequence[Metric], ids: Sequence[str]) -> Cohort | None:
    """The coarse maps of the run's cases, read once; None if no metric needs them, or no class is predicted."""
    if context.predictor.task == "regression" or not any("cohort" in m.needs for m in metrics):
        return None
    predicted = {}
    for case_id in ids:
        stored = context.run.prediction(context.task, case_id)
        if stored is not None:
            predicted[case_id] = predicted_class(context.predictor, stored)
    return signatures(
        (a for case_id in predicted for a in context.run.attributions(context.task, case_id)), predicted
    )


def predicted_class(predictor: Predictor, stored: Tensor) -> int:
    """The class of a stored prediction: probabilities ``(K,)``, or a label map."""
    if predictor.task == "segmentation":
        if len(predictor.classes) <= 1:
            return 0
        counts = torch.bincount(stored.flatten().long(), minlength=2)
        counts[0] = 0
        return int(counts.argmax()) if int(counts.sum()) else 1
    if predictor.activation == "sigmoid":
        return predictor.predicted_class(torch.logit(stored.double()))
    return int(stored.argmax())
