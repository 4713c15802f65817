"""Slow literal Shapley values: every coalition, every player, the formula as it is written."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, combinations
from math import factorial


def shapley(value: Callable[[frozenset[int]], float], players: int) -> list[float]:
    """``φ_i = Σ_{S without i} |S|! (M − |S| − 1)! / M! (v(S ∪ i) − v(S))``."""
    everyone = range(players)
    known = {
        frozenset(s): value(frozenset(s)) for s in chain.from_iterable(combinations(everyone, n) for n in range(players + 1))
    }
    phi = []
    for i in everyone:
        total = 0.0
        for s, v in known.items():
            if i not in s:
                share = factorial(len(s)) * factorial(players - len(s) - 1) / factorial(players)
                total += share * (known[s | {i}] - v)
        phi.append(total)
    return phi
