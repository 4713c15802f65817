"""Splits that obey what is given: a published test list, or the file of another split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pellucid.core.case import Case, check_unique
from pellucid.data import split_file
from pellucid.data.dealing import side_by_hash
from pellucid.data.split_file import PARTS, SIDES
from pellucid.data.splits import Split, check_split, split
from pellucid.errors import InputError, UsageError


def official_split(
    cases: Sequence[Case], fractions: Sequence[float] = (0.7, 0.15, 0.15), seed: int = 0
) -> Split:
    """The published test list (``meta["part"]`` is ``"test"``), and the rest dealt into train and val by group.

    Where a validation list is published, too (``"val"``), nothing is dealt. Cases of the rest whose group is in the
    test list as well are left out, for they would leak; of the training, those whose group is in the validation list.

    Args:
        cases: of a data set with a published test list.
        fractions: the first two say how the rest is dealt; the third is not asked.
        seed: of the dealing.

    Raises:
        UsageError: fractions that are negative, or leave nothing for train and val.
        InputError: no case is in a test list, or too few groups are not.
    """
    test = [c for c in cases if c.meta.get("part") == "test"]
    if not test:
        raise InputError("no case is in a published test list (meta 'part' is 'test'); leave 'official' out")
    if len(fractions) != 3 or not sum(fractions[:2]) > 0:
        raise UsageError(f"fractions {tuple(fractions)}: the first two are dealt, and have to be more than 0 together")
    groups = {c.group for c in test}
    rest = [c for c in cases if c.meta.get("part") != "test"]
    leaking = [c for c in rest if c.group in groups]
    kept = [c for c in rest if c.group not in groups]
    notes = []
    if leaking:
        notes.append(
            f"{len(leaking)} of {len(rest)} cases are left out: their patients are in the published test list, too"
        )
    val = [c for c in kept if c.meta.get("part") == "val"]
    if val:
        groups = {c.group for c in val}
        train = [c for c in kept if c.meta.get("part") != "val"]
        both = [c for c in train if c.group in groups]
        train, leaking = [c for c in train if c.group not in groups], leaking + both
        if both:
            notes.append(f"{len(both)} training cases are left out: their patients are in the validation list, too")
    else:
        share = [float(f) / sum(fractions[:2]) for f in fractions[:2]]
        train, val, _ = split(kept, (*share, 0.0), seed)
    result = Split(train, val, test, tuple(float(f) for f in fractions), seed, leaking, tuple(notes))
    check_split(result)
    return result


def follow_split(path: str | Path, cases: Sequence[Case]) -> Split:
    """These cases on the sides that a split file gives to them, or else to their groups.

    A group that the file does not know (none of its cases could be read then) is dealt by a hash of its name, the
    file's seed and its fractions, so that all who follow the file put it on the same side.

    Raises:
        InputError: not a split file, one of other data, or a group that comes to lie on two sides.
    """
    path = Path(path)
    content = split_file.load(path)
    check_unique(cases)
    side_of = {i: part for part in PARTS for i in content[part]}
    # A side comes before "left out": of a test patient only the pictures of the training list are.
    side_of_group = {g: part for part in reversed(PARTS) for g in content["groups"][part]}
    side_of_group |= {c.group: side_of[c.id] for c in cases if c.id in side_of and c.group not in side_of_group}
    counts = [float(f) for f in content["fractions"] or (len(content[side]) for side in SIDES)]
    share = [f / max(sum(counts), 1e-12) for f in counts]
    parts: dict[str, list[Case]] = {part: [] for part in PARTS}
    strange: list[Case] = []
    for case in cases:
        part = side_of.get(case.id) or side_of_group.get(case.group)
        if part is None:
            strange.append(case)
            part = SIDES[side_by_hash(str(case.group), share, content["seed"] or 0)]
        parts[part].append(case)
    if len(strange) == len(cases):
        raise InputError(f"{path.name} knows none of the {len(cases)} cases, nor their groups: it is of other data")
    absent = len({i for side in SIDES for i in content[side]} - {c.id for c in cases})
    notes = []
    if strange:
        n = len({c.group for c in strange})
        notes.append(f"{len(strange)} cases of {n} groups are not in {path.name}; each group was dealt by its name")
    if absent:
        notes.append(f"{absent} cases of {path.name} are not in these data")
    result = Split(
        parts["train"], parts["val"], parts["test"], content["fractions"], content["seed"], parts["left_out"],
        tuple(notes),
    )  # fmt: skip
    check_split(result)
    return result
