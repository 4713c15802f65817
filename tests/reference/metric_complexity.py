"""Slow literal twins of the metrics of complexity, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from math import log


def entropy(values: Sequence[float]) -> float:
    total = sum(abs(v) for v in values)
    found = 0.0
    for v in values:
        p = abs(v) / total
        if p > 0:
            found -= p * log(p)
    return found


def count_above(values: Sequence[float], share: float) -> int:
    top = max(abs(v) for v in values)
    return sum(1 for v in values if abs(v) > share * top)


def effective_number(values: Sequence[float]) -> float:
    return sum(abs(v) for v in values) ** 2 / sum(v * v for v in values)
