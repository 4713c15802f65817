"""How groups are dealt out to the sides of a split: stratum by stratum, or one by one by a hash."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from pellucid.core.case import Case


def strata(groups: dict[str, list[Case]]) -> dict[str, str]:
    """What each group is stratified by: its class, or the fifth in which its mean score or lesion size lies.

    Of independent labels the rarest that a group has decides, for most combinations are there once. ``meta["class"]``,
    one name or several joined by ``|``, counts in place of the truth: a data set that is segmented is then split as if
    it were classified.
    """
    value: dict[str, float] = {}
    named: dict[str, str] = {}
    several: dict[str, set[str]] = {}
    for group, cases in groups.items():
        truths = [c.truth for c in cases if c.truth is not None]
        numbers = [float((t != 0).sum()) if isinstance(t, Tensor) else t for t in truths if _is_amount(t)]
        kinds = {kind for c in cases for kind in _kinds(c)}
        if kinds:
            several[group] = kinds
        elif numbers:
            value[group] = float(np.mean(numbers))
        else:  # the rarer kinds decide in a mixed group, and "none" is a kind as well
            named[group] = "+".join(sorted({str(t) for t in truths})) or "unknown"
    count = Counter(kind for kinds in several.values() for kind in kinds)
    named |= {group: min(kinds, key=lambda k: (count[k], k)) for group, kinds in several.items()}
    if value:
        amounts = np.array(list(value.values()))
        bins = int(np.clip(len(value) // 4, 1, 5))
        edges = np.unique(np.quantile(amounts, np.linspace(0, 1, bins + 1)[1:-1]))
        for group, amount in value.items():
            named[group] = f"amount {int(np.searchsorted(edges, amount, side='right'))}"
    return named


def _is_amount(truth: object) -> bool:
    return isinstance(truth, float) or (isinstance(truth, Tensor) and truth.ndim > 1)


def _kinds(case: Case) -> list[str]:
    """The labels of a case that has, or may have, several; none for one with a single class or an amount."""
    if case.meta.get("class"):
        return str(case.meta["class"]).split("|")
    if isinstance(case.truth, Tensor) and case.truth.ndim == 1:
        return [f"label {int(k)}" for k in case.truth.nonzero().ravel()] or ["no label"]
    return []


def deal(
    groups: dict[str, list[Case]], stratum: dict[str, str], share: np.ndarray, rng: np.random.Generator
) -> dict[str, int]:
    """Stratum by stratum, large groups first: each goes where most is missing, in its stratum, then in all.

    With labels (see :func:`strata`), each goes where the largest part of the goal is missing and there is room: so
    patients with many pictures are as frequent on every side, and with them the labels.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for group in sorted(groups):
        members[stratum[group]].append(group)
    total = sum(len(cases) for cases in groups.values())
    labelled = any(_kinds(c) for cases in groups.values() for c in cases)
    side_of: dict[str, int] = {}
    filled = np.zeros(3)
    for name in sorted(members):
        order = [members[name][i] for i in rng.permutation(len(members[name]))]
        order.sort(key=lambda g: -len(groups[g]))
        goal = share * sum(len(groups[g]) for g in order)
        here = np.zeros(3)
        for group in order:
            lack = np.round(goal - here, 9)
            lack[share == 0] = -np.inf
            best = np.flatnonzero(lack >= lack.max() - 0.5)
            room = np.flatnonzero((lack >= 0.5 * len(groups[group])) & (share > 0))
            if labelled and len(room):
                part = np.round(lack[room] / share[room], 6)
                best = room[part >= part.max() - 1e-6]
            side = int(best[np.argmax((share * total - filled)[best] / share[best])])
            here[side] += len(groups[group])
            filled[side] += len(groups[group])
            side_of[group] = side
    for empty in np.flatnonzero((share > 0) & (filled == 0)):  # a side may not stay empty
        counts = np.bincount(list(side_of.values()), minlength=3)
        donor = int(np.argmax(counts))
        smallest = min((g for g in side_of if side_of[g] == donor), key=lambda g: (len(groups[g]), g))
        side_of[smallest] = int(empty)
    return side_of


def side_by_hash(group: str, share: Sequence[float], seed: int) -> int:
    """The side of one group, whatever other groups there are: so that all who ask get the same answer."""
    drawn = int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8], "big") / 2**64
    edges = np.cumsum(share)
    # Never a side of share 0, at whose edge the rounding may end.
    return min(int(np.searchsorted(edges, drawn * edges[-1], side="right")), int(np.flatnonzero(share)[-1]))
