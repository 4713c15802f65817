"""Slow literal twins of calibration: one case after the other, bins by sorting, the temperature by trying many."""

from __future__ import annotations

import math


def nll(logits, truth, temperature):
    """Mean −log softmax(z / T) of the true class."""
    total = 0.0
    for z, y in zip(logits, truth):
        size = sum(math.exp(v / temperature) for v in z)
        total -= math.log(math.exp(z[y] / temperature) / size)
    return total / len(logits)


def nll_labels(logits, truth, temperature):
    """Mean over cases of the summed −log of what sigmoid(z / T) gives to the truth."""
    total = 0.0
    for zs, ys in zip(logits, truth):
        for z, y in zip(zs, ys):
            p = 1 / (1 + math.exp(-z / temperature))
            total -= math.log(p if y else 1 - p)
    return total / len(logits)


def lowest(loss, low=0.2, high=9.0, steps=3000):
    """The temperature of the lowest loss among evenly spaced ones."""
    tried = [low + (high - low) * i / steps for i in range(steps + 1)]
    return min(tried, key=loss)


def ece_equal_mass(said, seen, bins):
    """Bins of the same number of cases (no ties, and a number that the bins divide)."""
    order = sorted(range(len(said)), key=lambda i: said[i])
    size = len(said) // bins
    return sum(
        abs(sum(said[i] - seen[i] for i in order[b * size : (b + 1) * size])) for b in range(bins)
    ) / len(said)


def ece_equal_width(said, seen, bins):
    """Bins ``(k/bins, (k+1)/bins]``."""
    total = 0.0
    for b in range(bins):
        own = [i for i, p in enumerate(said) if b / bins < p <= (b + 1) / bins]
        if own:
            total += len(own) * abs(sum(said[i] for i in own) / len(own) - sum(seen[i] for i in own) / len(own))
    return total / len(said)
