"""Where a probability becomes a label: chosen on validation, never on the test set."""

from __future__ import annotations

import torch
from torch import Tensor


def best_thresholds(truth: Tensor, probability: Tensor) -> tuple[float, ...]:
    """The threshold per label that gives the highest F1; 0.5 where a label has no positives or no negatives.

    It lies half-way between two neighbouring probabilities, so that cases a little off fall on the same side. Among
    equals the one nearest to 0.5 is taken.

    Args:
        truth: ``(N, K)``, 0 or 1, of the validation split.
        probability: ``(N, K)``, in [0, 1].

    Example:
        >>> best_thresholds(torch.tensor([[0.], [0.], [1.]]), torch.tensor([[0.1], [0.3], [0.35]]))
        (0.325,)
    """
    found = []
    for t, p in zip(truth.reshape(len(truth), -1).double().T, probability.reshape(len(truth), -1).double().T):
        if t.sum() == 0 or t.sum() == len(t):
            found.append(0.5)
            continue
        values, inverse = torch.unique(p, return_inverse=True)
        positives = torch.zeros_like(values).index_add_(0, inverse, t)
        count = torch.zeros_like(values).index_add_(0, inverse, torch.ones_like(t))
        # Everything from value i upwards counts as predicted.
        hits, predicted = positives.flip(0).cumsum(0).flip(0), count.flip(0).cumsum(0).flip(0)
        f1 = 2 * hits / (predicted + t.sum())
        below = torch.cat([torch.zeros(1, dtype=values.dtype), values[:-1]])
        middle = (values + below) / 2
        equal = f1 >= f1.max() - 1e-12
        best = torch.where(equal, (middle - 0.5).abs(), torch.inf).argmin()
        found.append(round(float(middle[best]), 6))
    return tuple(found)
