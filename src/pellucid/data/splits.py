"""Train, validation and test sides of a data set: by group, stratified, kept in one file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pellucid.core.case import Case, check_unique
from pellucid.data import split_file
from pellucid.data.dealing import deal, strata
from pellucid.data.split_file import SIDES
from pellucid.errors import InputError, UsageError


@dataclass(frozen=True, eq=False)
class Split:
    """Three lists of Cases; ``train, val, test = split(cases)`` works too.

    Attributes:
        train: for the weights.
        val: for every choice.
        test: read once, at the end.
        fractions: that were asked for.
        seed: that dealt them out.
        left_out: cases that are on no side.
        notes: what has to be said about how it came about, in sentences.
    """

    train: list[Case]
    val: list[Case]
    test: list[Case]
    fractions: tuple[float, ...] = ()
    seed: int | None = None
    left_out: list[Case] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[list[Case]]:
        return iter((self.train, self.val, self.test))

    def save(self, path: str | Path) -> Path:
        """Write the ids and groups of each side as JSON; a broken write leaves the old file as it was."""
        sides = {"train": self.train, "val": self.val, "test": self.test, "left_out": self.left_out}
        return split_file.write(Path(path), sides, self.fractions, self.seed)

    @classmethod
    def load(cls, path: str | Path, cases: Sequence[Case]) -> Split:
        """The split in a file that :meth:`save` wrote, of these very cases.

        Raises:
            InputError: no such file, not a split, cases missing or left over, a group on two sides.
        """
        path = Path(path)
        content = split_file.load(path)
        check_unique(cases)
        by_id = {c.id: c for c in cases}
        listed = {i for side in SIDES for i in content[side]}
        missing, extra = listed - set(by_id), set(by_id) - listed - set(content["left_out"])
        if missing or extra:
            raise InputError(
                f"{path.name} does not fit the data: {len(missing)} of its cases are not there, {len(extra)} are on "
                "none of its sides; use the data that it was made from, or make a new split"
            )
        train, val, test = ([by_id[i] for i in content[side]] for side in SIDES)
        left_out = [by_id[i] for i in content["left_out"] if i in by_id]
        result = cls(train, val, test, content["fractions"], content["seed"], left_out)
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
    side_of = deal(groups, strata(groups), share, np.random.default_rng(seed))
    sides: list[list[Case]] = [[], [], []]
    for case in cases:
        sides[side_of[str(case.group)]].append(case)
    result = Split(
        train=sides[0], val=sides[1], test=sides[2], fractions=tuple(float(f) for f in share), seed=seed
    )
    check_split(result)
    return result


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
