"""Slow literal twins of the error detector: every pair, every order of ties, every prefix."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, permutations


def auroc(values: Sequence[float], correct: Sequence[bool]) -> float:
    """The share of (right, wrong) pairs in which the right one is more certain; half where they tie."""
    right = [v for v, c in zip(values, correct) if c]
    wrong = [v for v, c in zip(values, correct) if not c]
    return sum((a > b) + 0.5 * (a == b) for a in right for b in wrong) / (len(right) * len(wrong))


def risks(values: Sequence[float], correct: Sequence[bool]) -> list[float]:
    """The share of wrong ones among the k most certain, over all orders in which certainty never rises."""
    n = len(values)
    orders = [o for o in permutations(range(n)) if all(values[p] >= values[q] for p, q in pairwise(o))]
    return [
        sum(sum(not correct[i] for i in order[: k + 1]) / (k + 1) for order in orders) / len(orders) for k in range(n)
    ]


def best(correct: Sequence[bool]) -> float:
    """The smallest area under a risk–coverage curve of any order."""
    n = len(correct)
    curve = lambda order: sum(sum(not correct[i] for i in order[: k + 1]) / (k + 1) for k in range(n)) / n  # noqa: E731
    return min(curve(order) for order in permutations(range(n)))
