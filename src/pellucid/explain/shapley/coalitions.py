"""Which coalitions a Shapley regression asks the model about: complementary pairs, by leverage scores."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import torch
from torch import Tensor

_LIST = 4096  # kinds of up to so many pairs are listed and shuffled, larger ones drawn until they differ


@dataclass(frozen=True, eq=False)
class Pairs:
    """P coalitions of M players; the complement of each belongs to it.

    Attributes:
        sets: bool ``(P, M)``, the smaller of the two.
        weight: float64 ``(P,)``, the Shapley kernel of the pair over the chance of being drawn.
        seen: float64 ``(P,)``, that chance: the share of all pairs of this size that is in the sample.
    """

    sets: Tensor
    weight: Tensor
    seen: Tensor


def leverage_pairs(players: int, pairs: int, generator: torch.Generator) -> Pairs:
    """Pairs drawn without replacement by the leverage scores of the Shapley regression.

    The leverage score of a coalition of size h is ``1 / C(M, h)`` whatever the game: every size gets the same share of
    the sample, and within a size all coalitions are alike. A size that has fewer coalitions than its share is taken
    whole, and what it leaves goes to the others; so the sample is all coalitions, and the regression exact, where the
    budget reaches that far. Source: musco2025provably.
    """
    sizes = range(1, players // 2 + 1)
    kinds = [1 if 2 * h == players else 2 for h in sizes]  # of two sizes each, but for the middle one
    room = [comb(players, h) * kind // 2 for h, kind in zip(sizes, kinds)]
    share = _shares(pairs, kinds, room)
    counts = _whole(share, room, min(pairs, sum(room)), generator)
    sets, weight, seen = [], [], []
    for h, kind, all_of, mean, count in zip(sizes, kinds, room, share, counts):
        if count:
            sets.append(_draw(players, h, all_of, count, generator))
            kernel = kind * (players - 1) / (h * (players - h))
            weight += [kernel / mean] * count
            seen += [min(1.0, mean / all_of)] * count
    if not sets:
        sets = [torch.zeros(0, players, dtype=torch.bool)]
    return Pairs(torch.cat(sets), torch.tensor(weight, dtype=torch.float64), torch.tensor(seen, dtype=torch.float64))


def _shares(pairs: int, kinds: list[int], room: list[int]) -> list[float]:
    """The mean number of pairs of each size: by ``kinds``, but no more than there are."""
    share = [0.0] * len(kinds)
    left, free = float(pairs), set(range(len(kinds)))
    while free:
        unit = left / sum(kinds[i] for i in free)
        full = {i for i in free if room[i] <= unit * kinds[i]}
        for i in full or free:
            share[i] = float(room[i]) if i in full else unit * kinds[i]
        if not full:
            break
        left -= sum(room[i] for i in full)
        free -= full
    return share


def _whole(share: list[float], room: list[int], total: int, generator: torch.Generator) -> list[int]:
    """Whole numbers with the mean ``share``; the places that rounding down leaves are given out by chance."""
    counts = [min(int(s + 1e-9), r) for s, r in zip(share, room)]
    rest = torch.tensor([s - c if c < r else 0.0 for s, c, r in zip(share, counts, room)], dtype=torch.float64)
    places = total - sum(counts)
    if places > 0:
        start = torch.rand(1, generator=generator, dtype=torch.float64)
        order = torch.randperm(len(rest), generator=generator)
        steps = (start + rest[order].clamp(min=0).cumsum(0)).floor().long()
        gained = torch.diff(steps, prepend=torch.zeros(1, dtype=torch.long))
        for i, more in zip(order.tolist(), gained.tolist()):
            counts[i] = min(room[i], counts[i] + more)
        for i in order.tolist():  # a sum of shares that rounds to one place more or less than there is
            step = max(-counts[i], min(total - sum(counts), 1)) if sum(counts) != total else 0
            counts[i] = min(room[i], counts[i] + step)
    return counts


def _draw(players: int, size: int, room: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` different coalitions ``(count, M)`` of a size, one of each complementary pair."""
    middle = 2 * size == players  # there a coalition and its complement are of one size: take the one with player 0
    if room <= _LIST:
        rest = [(0, *c) for c in combinations(range(1, players), size - 1)] if middle else None
        listed = torch.tensor(rest or list(combinations(range(players), size)))
        members = listed[torch.randperm(room, generator=generator)[:count]]
    else:
        found: dict[tuple[int, ...], None] = {}
        while len(found) < count:
            order = torch.rand(count, players, generator=generator).argsort(1)
            for row in order.tolist():
                inside = row[:size] if not middle or 0 in row[:size] else row[size:]
                if len(found) < count:
                    found[tuple(sorted(inside))] = None
        members = torch.tensor(list(found))
    sets = torch.zeros(count, players, dtype=torch.bool)
    return sets.scatter_(1, members, True)
