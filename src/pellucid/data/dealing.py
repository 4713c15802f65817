"""How groups are dealt out to the sides of a split: stratum by stratum, or one by one by a hash."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from pellucid.core.case import Case


def strata(groups: dict[str, list[Case]]) -> dict[str, str]:
    """What each group is stratified by: its class, or the fifth in which its mean score or lesion size lies."""
    value: dict[str, float] = {}
    named: dict[str, str] = {}
    for group, cases in groups.items():
        truths = [c.truth for c in cases if c.truth is not None]
        numbers = [float((t != 0).sum()) if isinstance(t, Tensor) else t for t in truths if _is_amount(t)]
        if numbers:
            value[group] = float(np.mean(numbers))
        else:  # the rarer kinds decide in a mixed group, and "none" is a kind as well
            named[group] = "+".join(sorted({_label(t) for t in truths})) or "unknown"
    if value:
        amounts = np.array(list(value.values()))
        bins = int(np.clip(len(value) // 4, 1, 5))
        edges = np.unique(np.quantile(amounts, np.linspace(0, 1, bins + 1)[1:-1]))
        for group, amount in value.items():
            named[group] = f"amount {int(np.searchsorted(edges, amount, side='right'))}"
    return named


def _is_amount(truth: object) -> bool:
    return isinstance(truth, float) or (isinstance(truth, Tensor) and truth.ndim > 1)


def _label(truth: object) -> str:
    return ",".join(str(v) for v in truth.tolist()) if isinstance(truth, Tensor) else str(truth)


def deal(
    groups: dict[str, list[Case]], stratum: dict[str, str], share: np.ndarray, rng: np.random.Generator
) -> dict[str, int]:
    """Stratum by stratum, large groups first: each goes where most is missing, in its stratum, then in all."""
    members: dict[str, list[str]] = defaultdict(list)
    for group in sorted(groups):
        members[stratum[group]].append(group)
    total = sum(len(cases) for cases in groups.values())
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
