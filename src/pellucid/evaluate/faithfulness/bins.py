"""Metrics that read a curve at a few shares of the pixels (ERASER's bins)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pellucid.core.metric import Score
from pellucid.errors import UsageError
from pellucid.evaluate.faithfulness.curve import CurveMetric

BINS = (0.01, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, kw_only=True)
class BinMetric(CurveMetric):
    """Mean over bins of what a curve has lost since the picture.

    A bin is read from the curve, linearly between its two nearest points, so that no pass is added: with the usual 20
    steps the bins of 5 % and above are points of the curve, and 1 % lies between two; with ``steps=100`` all are.

    Attributes:
        bins: shares of the pixels, between 0 and 1.
    """

    low = -1.0
    bins: tuple[float, ...] = BINS

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "bins", tuple(self.bins) if isinstance(self.bins, Sequence) else (self.bins,))
        if not self.bins or not all(isinstance(q, int | float) and 0 < q <= 1 for q in self.bins):
            raise UsageError(f"bins={self.bins!r}: give shares of the pixels above 0 and up to 1, such as {BINS}")
        super().__post_init__()

    def mean_loss(self, fraction: Tensor, values: Tensor, whole: float) -> Score:
        """The mean over the bins of ``whole`` minus the curve; its parts are those of each bin."""
        lost = whole - np.interp(self.bins, fraction.numpy(), values.numpy())
        return Score(float(lost.mean()), parts=tuple(("bin", q, float(v)) for q, v in zip(self.bins, lost)))
