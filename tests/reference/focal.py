"""The focal loss as its formula reads, one number at a time."""

from __future__ import annotations

import math


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def binary_focal(logits, truth, *, gamma, alpha=None, positive=None):
    """Mean over cases and labels of −α_t (1 − p_t)^γ log p_t; any alpha is taken, 1 too."""
    total, n = 0.0, 0
    for row, labels in zip(logits, truth):
        for k, (z, y) in enumerate(zip(row, labels)):
            p = sigmoid(z)
            p_t = p if y == 1 else 1 - p
            alpha_t = 1.0 if alpha is None else alpha if y == 1 else 1 - alpha
            weight = positive[k] if positive is not None and y == 1 else 1.0
            total += -weight * alpha_t * (1 - p_t) ** gamma * math.log(p_t)
            n += 1
    return total / n


def focal(logits, truth, *, gamma, weights=None):
    """Mean over cases of −w_t (1 − p_t)^γ log p_t, weighted by the classes."""
    total, size = 0.0, 0.0
    for row, k in zip(logits, truth):
        p = math.exp(row[k]) / sum(math.exp(z) for z in row)
        w = 1.0 if weights is None else weights[k]
        total += -w * (1 - p) ** gamma * math.log(p)
        size += w
    return total / size
