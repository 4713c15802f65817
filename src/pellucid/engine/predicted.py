"""A segmentation's own prediction as features of a case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import label
from torch import Tensor

from pellucid.core.case import Case
from pellucid.engine.problem import Problem
from pellucid.engine.stream import Stream, shape_of
from pellucid.errors import UsageError

WAYS = ("predicted", "predicted_pieces")


def with_predicted(problem: Problem, by: str, segments: int) -> Sequence[Case]:
    """The problem's cases with the predicted labels as a region called ``by``, where that is one of :data:`WAYS`.

    ``"predicted"``: a label for each predicted class. ``"predicted_pieces"``: one for each connected piece of a class,
    of the ``segments`` largest pieces; what is left of a class has one together. One forward per case, once for all
    methods.

    Raises:
        UsageError: the model is no segmentation.
    """
    if by not in WAYS:
        return problem.cases
    if problem.predictor.task != "segmentation":
        raise UsageError(
            f"groups={by!r} takes the organs that a segmentation predicts; this model does "
            f"{problem.predictor.task}: use 'superpixels', 'cubes' or a region of the case"
        )
    maps = problem.once("predicted labels", lambda: [_labels(problem, b) for b in range(len(problem))])
    if by == "predicted_pieces":
        maps = [pieces(m, segments) for m in maps]
    return [c.replace(regions={**c.regions, by: m}) for c, m in zip(problem.cases, maps)]


def pieces(labels: Tensor, most: int) -> Tensor:
    """Labels ``(*spatial)`` int64 of connected pieces, counted from 0: voxels of a class that touch by a face.

    Args:
        labels: ``(*spatial)``.
        most: largest pieces with a label of their own; the smaller ones of a class share one.
    """
    found = torch.zeros(labels.shape, dtype=torch.int64)
    count = 0
    for k in labels.unique():
        parts, n = label((labels == k).numpy())
        found = torch.where(labels == k, torch.from_numpy(parts.astype(np.int64)) + (count - 1), found)
        count += int(n)
    size = found.flatten().bincount(minlength=count)
    small = torch.ones(count, dtype=torch.bool)
    small[size.argsort(descending=True, stable=True)[:most]] = False
    merged = torch.where(small[found], count + labels.long(), found)
    return merged.unique(return_inverse=True)[1]


def _labels(problem: Problem, b: int) -> Tensor:
    one = Stream(
        torch.tensor([b]), lambda _: {k: v[b : b + 1].clone() for k, v in problem.inputs.items()}, clean=True,
        shape=shape_of(problem.inputs), base=problem.inputs,
    )  # fmt: skip
    return problem.predictor.labels(problem.engine.forward(one))[0].cpu()
