"""What is known of every explained case beside its maps: prediction, confidence, right or wrong, size of the region."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.study.context import Context

COLUMNS = ["case", "group", "truth", "predicted", "confidence", "correct", "error", "region_size", "region_unit"]


def explained(context: Context, cases: Sequence[Case]) -> pd.DataFrame:
    """One row per explained case.

    ``confidence`` is the probability that a classifier gives its answer (with several labels: the one it is surest
    of), ``correct`` whether that answer is true; ``error`` is ``|score − truth|`` of a regression and 1 − Dice of a
    segmentation, which have no right and wrong. What is not known is missing. ``region_size`` is in mm² or mm³ where
    every case has a spacing, else in pixels or voxels.
    """
    region = context.work.evaluate.region or "lesion"
    physical = all(c.spacing is not None for c in cases)
    rows = []
    for case in cases:
        output = context.run.prediction(context.task, case.id)
        size, unit = region_size(case, region, physical=physical)
        rows.append(
            {
                "case": case.id, "group": case.group, **answer(context.predictor, output, case.truth),
                "region_size": size, "region_unit": unit,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS).astype({"correct": "boolean"})


def answer(p: Predictor, output: Tensor | None, truth: Any) -> dict[str, Any]:
    """Prediction, confidence, right or wrong, and error of one case.

    Args:
        p: the model.
        output: ``(K,)`` probabilities of a classification or scores of a regression, or a label map.
        truth: of the case.
    """
    found: dict[str, Any] = {
        "truth": None, "predicted": None, "confidence": np.nan, "correct": None, "error": np.nan,
    }  # fmt: skip
    known = None if truth is None or isinstance(truth, str) else torch.as_tensor(truth).cpu()
    if known is not None and known.ndim < 2:
        found["truth"] = "|".join(f"{v:g}" for v in known.reshape(-1).tolist())
    if output is None:
        return found
    output = output.cpu()
    if p.task == "segmentation":
        if known is not None and known.shape == output.shape:
            found["error"] = 1 - _dice(output, known)
        return found
    values = output.double()
    if p.task == "regression":
        found["predicted"] = "|".join(f"{v:.6g}" for v in values.tolist())
        if known is not None and known.numel() == len(values):
            found["error"] = float((values - known.double().reshape(-1)).abs().mean())
        return found
    k, said, confidence = _class(p, values)
    found |= {"predicted": said, "confidence": confidence}
    if known is not None:
        found["correct"] = _right(p, values, k, known)
    return found


def region_size(case: Case, name: str, *, physical: bool) -> tuple[float, str]:
    """Size of a region and its unit; NaN where the case has no such region."""
    if name in case.regions:
        mask = case.region(name)
    elif name == "truth" and isinstance(case.truth, Tensor) and case.truth.ndim > 1:
        mask = case.truth > 0
    else:
        return float("nan"), ""
    flat = mask.ndim == 2
    if physical and case.spacing is not None:
        return float(mask.sum()) * prod(case.spacing), "mm²" if flat else "mm³"
    return float(mask.sum()), "pixels" if flat else "voxels"


def _class(p: Predictor, values: Tensor) -> tuple[int, str, float]:
    """The class that the answer is about, what is said of it, and with what probability."""
    if p.activation != "sigmoid":
        k = int(values.argmax())
        return k, str(k), float(values[k])
    above = [bool(v > t) for v, t in zip(values.tolist(), p.thresholds)]  # never above NaN: no threshold
    known = [k for k in range(len(values)) if not math.isnan(p.thresholds[k])]
    order = [k for k, a in enumerate(above) if a] or known or list(range(len(values)))
    k = max(order, key=lambda i: float(values[i]))
    return k, "|".join(str(int(a)) for a in above), float(values[k] if above[k] else 1 - values[k])


def _right(p: Predictor, values: Tensor, k: int, truth: Tensor) -> bool | None:
    if p.activation != "sigmoid":
        return int(truth) == k if truth.numel() == 1 else None
    flat = truth.reshape(-1)
    if len(flat) != len(values) or math.isnan(p.thresholds[k]):
        return None
    return bool(values[k] > p.thresholds[k]) == bool(flat[k])


def _dice(predicted: Tensor, truth: Tensor) -> float:
    """Mean Dice over the labels that are in the truth or the prediction, background apart; 1 where there are none."""
    labels = [v for v in torch.cat([predicted.unique(), truth.to(predicted.dtype).unique()]).unique().tolist() if v > 0]
    found = [
        float(2 * ((predicted == v) & (truth == v)).sum() / ((predicted == v).sum() + (truth == v).sum()))
        for v in labels
    ]
    return float(np.mean(found)) if found else 1.0
