"""Train, validation and test sides of a data set: by group, stratified, kept in one file."""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from pellucid.core.case import Case, check_unique
from pellucid.errors import InputError, UsageError

SIDES = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Three lists of Cases; ``train, val, test = split(cases)`` works too.

    Attributes:
        train: for the weights.
        val: for every choice.
        test: read once, at the end.
        fractions: that were asked for.
        seed: that dealt them out.
    """

    train: list[Case]
    val: list[Case]
    test: list[Case]
    fractions: tuple[float, ...] = ()
    seed: int | None = None

    def __iter__(self) -> Iterator[list[Case]]:
        return iter((self.train, self.val, self.test))

    def save(self, path: str | Path) -> Path:
        """Write the ids of each side as JSON; a broken write leaves the old file as it was."""
        path = Path(path)
        content = {
            "format": "pellucid split 1",
            "fractions": list(self.fractions),
            "seed": self.seed,
            **{side: [c.id for c in cases] for side, cases in zip(SIDES, self)},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return path

    @classmethod
    def load(cls, path: str | Path, cases: Sequence[Case]) -> Split:
        """The split in a file that :meth:`save` wrote, of these cases.

        Raises:
            InputError: no such file, not a split, cases missing or left over, a group on two sides.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path.name} cannot be read as a split file: {type(error).__name__}") from error
        if not isinstance(content, dict) or content.get("format") != "pellucid split 1":
            raise InputError(f"{path.name} is not a split file; write one with split(cases).save(path)")
        check_unique(cases)
        by_id = {c.id: c for c in cases}
        ids = [[str(i) for i in content.get(side, [])] for side in SIDES]
        listed = [i for side in ids for i in side]
        if len(set(listed)) != len(listed):
            raise InputError(f"{path.name} names {len(listed) - len(set(listed))} cases twice; make a new split")
        missing, extra = set(listed) - set(by_id), set(by_id) - set(listed)
        if missing or extra:
            raise InputError(
                f"{path.name} does not fit the data: {len(missing)} of its cases are not there, {len(extra)} are on "
                "none of its sides; use the data that it was made from, or make a new split"
            )
        train, val, test = ([by_id[i] for i in side] for side in ids)
        result = cls(
            train=train, val=val, test=test, fractions=tuple(content.get("fractions") or ()), seed=content.get("seed")
        )
        check_split(result)
        return result


def split(
    cases: Sequence[Case], fractions: Sequence[float] = (0.7, 0.15, 0.15), seed: int = 0
) -> Split:
    """Deal whole groups (patients) out to three sides, every stratum in the same proportions.

    A stratum is a class, a combination of labels, a fifth of the range of scores, or a fifth of the sizes of the
    lesion. Sides come near the fractions of the cases, as near as whole groups allow.

    Raises:
        UsageError: fractions that are negative or do not sum to 1.
        InputError: fewer groups than sides, two cases with one id.

    Example:
        >>> import torch
        >>> cases = [Case(id=str(i), inputs={"t": torch.zeros(1)}, truth=i % 2) for i in range(20)]
        >>> [len(side) for side in split(cases)]
        [14, 3, 3]
    """
    share = np.asarray(fractions, dtype=float)
    if share.shape != (3,) or not np.isfinite(share).all() or (share < 0).any() or abs(share.sum() - 1) > 1e-6:
        raise UsageError(f"fractions {tuple(fractions)}: give three numbers of 0 or more that sum to 1")
    check_unique(cases)
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[str(case.group)].append(case)
    wanted = int((share > 0).sum())
    if len(groups) < wanted:
        raise InputError(
            f"{len(cases)} cases of {len(groups)} groups cannot fill {wanted} sides; "
            "add patients, or set a fraction to 0"
        )
    side_of = _deal(groups, _strata(groups), share, np.random.default_rng(seed))
    sides: list[list[Case]] = [[], [], []]
    for case in cases:
        sides[side_of[str(case.group)]].append(case)
    result = Split(
        train=sides[0], val=sides[1], test=sides[2], fractions=tuple(float(f) for f in share), seed=seed
    )
    check_split(result)
    return result


def _strata(groups: dict[str, list[Case]]) -> dict[str, str]:
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


def _deal(
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


def check_split(parts: Split) -> None:
    """Make sure that no group is on two sides.

    Raises:
        InputError: how many groups are; their names stay out of the message.
    """
    seen: dict[str, set[str]] = defaultdict(set)
    for side, cases in zip(SIDES, parts):
        for case in cases:
            seen[str(case.group)].add(side)
    shared = [sides for sides in seen.values() if len(sides) > 1]
    if shared:
        where = ", ".join(sorted({" and ".join(s for s in SIDES if s in sides) for sides in shared}))
        raise InputError(
            f"{len(shared)} of {len(seen)} groups are on two sides of the split ({where}): what was trained on "
            "would be tested; split by group with pellucid.split"
        )
