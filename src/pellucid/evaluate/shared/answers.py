"""What the model says of several cases, in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.engine.engine import Engine


@dataclass(frozen=True, eq=False)
class Answers:
    """Outputs of n cases of one shape.

    Attributes:
        outputs: ``(n, F)`` float64: logits, scores, or the logits of every voxel.
        predicted: ``(n,)`` the predicted class; all the same for a regression, which predicts none.
    """

    outputs: Tensor
    predicted: tuple[int, ...]

    @property
    def kept(self) -> list[bool]:
        """Of every case but the first, whether the predicted class is that of the first."""
        return [k == self.predicted[0] for k in self.predicted[1:]]


def answers(engine: Engine, cases: Sequence[Case]) -> Answers:
    """One forward per case."""
    outputs = engine.outputs(cases)
    p = engine.predictor
    predicted = [0 if p.task == "regression" else p.predicted_class(o) for o in outputs]
    return Answers(torch.stack(outputs).flatten(1).double(), tuple(predicted))
