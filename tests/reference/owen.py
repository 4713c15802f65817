"""Owen values over a binary hierarchy, slow and literal."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count, permutations

import numpy as np
from numpy.typing import NDArray

Tree = int | tuple  # a leaf, or two trees


def leaves(tree: Tree) -> list[int]:
    """The players under a node."""
    return [tree] if isinstance(tree, int) else [x for t in tree for x in leaves(t)]


def by_orders(v: Callable[[frozenset], float], tree: Tree) -> dict[int, float]:
    """The mean marginal contribution over all orders in which the two halves of every node come one after the other."""
    players = leaves(tree)
    orders = [o for o in permutations(players) if _fits(list(o), tree)]
    total = dict.fromkeys(players, 0.0)
    for order in orders:
        before: frozenset = frozenset()
        for player in order:
            total[player] += (v(before | {player}) - v(before)) / len(orders)
            before |= {player}
    return total


def _fits(order: list[int], tree: Tree) -> bool:
    if isinstance(tree, int):
        return True
    places = sorted(order.index(x) for x in leaves(tree))
    return places == list(range(places[0], places[0] + len(places))) and all(_fits(order, t) for t in tree)


def by_recursion(
    v: Callable[[frozenset], float], tree: Tree, present: frozenset = frozenset(), weight: float = 1.0
) -> dict[int, float]:
    """Half of a node's value with the other half absent, half with it present, all the way down."""
    if isinstance(tree, int):
        return {tree: weight * (v(present | {tree}) - v(present))}
    out = dict.fromkeys(leaves(tree), 0.0)
    for half, other in (tree, tree[::-1]):
        for extra in (frozenset(), frozenset(leaves(other))):
            for player, value in by_recursion(v, half, present | extra, weight / 2).items():
                out[player] += value
    return out


def best_first(
    v: Callable[[frozenset], NDArray], tree: Tree, splits: int, at_once: int
) -> tuple[dict[int, NDArray], int]:
    """The same, stopped after some splits, the state of largest effect first, ``at_once`` at a time.

    What is left unsplit is spread evenly over its players. Returns the values and how often ``v`` was asked.
    """
    ticket = count()
    asked = 2
    values = {x: np.zeros_like(v(frozenset())) for x in leaves(tree)}
    heap: list = []

    def push(node: Tree, present: frozenset, weight: float) -> None:
        change = weight * (v(present | frozenset(leaves(node))) - v(present))
        if isinstance(node, int):
            values[node] += change
        else:
            heapq.heappush(heap, (-np.abs(change).max(), next(ticket), node, present, weight, change))

    push(tree, frozenset(), 1.0)
    while heap and splits:
        taken = [heapq.heappop(heap) for _ in range(min(at_once, splits, len(heap)))]
        splits -= len(taken)
        for _, _, (a, b), present, weight, _ in taken:
            asked += 2
            push(a, present, weight / 2)
            push(b, present, weight / 2)
            push(a, present | frozenset(leaves(b)), weight / 2)
            push(b, present | frozenset(leaves(a)), weight / 2)
    for _, _, node, _, _, change in heap:
        for x in leaves(node):
            values[x] += change / len(leaves(node))
    return values, asked
