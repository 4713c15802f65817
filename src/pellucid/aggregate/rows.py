"""A case's sums as rows of the long table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from pellucid.aggregate.directional import Measures
from pellucid.aggregate.labels import WHOLE
from pellucid.aggregate.work import Work

SIGNED = ("signed_sum", "signed_mean", "share")


def rows(work: Work, directional: list[Measures] | None, *, signed: bool) -> Iterator[dict[str, Any]]:
    """The rows of all label maps, targets and regions; those over the whole picture come with each label map.

    Args:
        work: whose sums are complete.
        directional: the measures in place of the sums', one table per label map.
        signed: the signed sums alone.
    """
    case, predictor = work.problem.cases[0], work.problem.predictor
    overlap = _overlaps(work)
    for place, sums in enumerate(work.sums):
        for t, (name, index) in enumerate(zip(work.names, work.indices)):
            known = {
                "case": case.id, "target": name, "target_index": index, "method": work.explainer.name,
                "of": sums.labels.of,
            }  # fmt: skip
            empty = t in work.empty
            for region, found in (sums.measures(t) if directional is None else directional[place][t]).items():
                for measure, value in found.items():
                    if not signed or measure in SIGNED:
                        told = math.nan if empty and measure != "share" else value
                        yield {**known, "region": region, "measure": measure, "value": told}
            whole = {} if signed else sums.of_map(t)
            if empty:
                whole = dict.fromkeys(whole, math.nan)
                predicted = work.on_labels is not None and work.on_labels[t].predicted
                whole["never_predicted" if predicted else "empty_target"] = 1.0
            if work.on_labels is not None:
                whole["voxels"] = float(work.on_labels[t].voxels)
            whole |= overlap.get(predictor.label_of(index), {})
            for measure, value in whole.items():
                yield {**known, "region": WHOLE, "measure": measure, "value": value}


def _overlaps(work: Work) -> dict[int, dict[str, float]]:
    """Label to Dice and IoU of the predicted with the true region, where there is a truth; NaN if both are empty."""
    truth = work.problem.cases[0].truth
    if work.labels is None or not isinstance(truth, Tensor) or truth.ndim < 2:
        return {}
    found = {}
    for label in {work.problem.predictor.label_of(i) for i in work.indices}:
        p, q = work.labels == label, truth == label
        both, either = int((p & q).sum()), int((p | q).sum())
        total = both + either
        found[label] = {
            "dice": 2 * both / total if total else math.nan, "iou": both / either if either else math.nan,
        }  # fmt: skip
    return found
