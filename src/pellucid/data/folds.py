"""Folds of a cross-validation: stratified, whole patients, none of them on two sides."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from pellucid.core.case import Case, check_unique
from pellucid.data.dealing import strata
from pellucid.errors import InputError, UsageError
from pellucid.io.files import atomic

Pair = tuple[list[Case], list[Case]]
_FORMAT = "pellucid folds 1"
MEND = "take fewer folds, another seed, or add patients"


@dataclass(frozen=True, eq=False)
class Folds(Sequence[Pair]):
    """``(train, val)`` for each fold, in the order of the cases.

    Attributes:
        pairs: the folds.
        seed: that dealt them.
        notes: what has to be said about them, in sentences.
    """

    pairs: tuple[Pair, ...]
    seed: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: Any) -> Any:
        return self.pairs[index]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    @property
    def digest(self) -> str:
        """16 hex digits: the same for the same cases in the same folds, in whatever order the cases came."""
        return hashlib.sha256(json.dumps([sorted(c.id for c in val) for _, val in self]).encode()).hexdigest()[:16]

    def save(self, path: str | Path) -> Path:
        """Write the ids and groups of each fold's validation side as JSON, whole or not at all."""
        rows = [{"val": [c.id for c in val], "groups": sorted({str(c.group) for c in val})} for _, val in self]
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            temporary.write_text(json.dumps({"format": _FORMAT, "seed": self.seed, "folds": rows}, indent=1), "utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path, cases: Sequence[Case], *, test: Sequence[Case] = ()) -> Folds:
        """The folds in a file that :meth:`save` wrote, of these very cases.

        Raises:
            InputError: not such a file, of other cases, or a group on both sides of a fold.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            sides = [[str(i) for i in row["val"]] for row in content["folds"]]
            known, seed = content["format"], int(content["seed"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path.name} cannot be read as a file of folds ({type(error).__name__}); delete it to deal them anew"
            ) from error
        if known != _FORMAT:
            raise InputError(f"{path.name} is not a file of folds; delete it to deal them anew")
        by_id = {c.id: c for c in cases}
        held = [set(side) for side in sides]
        listed = set().union(*held)
        missing, extra = listed - set(by_id), set(by_id) - listed
        if missing or extra:
            raise InputError(
                f"{path.name} does not fit the data: {len(missing)} of its cases are not there, {len(extra)} are in "
                "none of its folds; use the data that it was made from, or delete it to deal the folds anew"
            )
        if sum(map(len, sides)) != sum(map(len, held)):
            raise InputError(f"{path.name} names a case twice in one fold; delete it to deal the folds anew")
        pairs = tuple(([c for c in cases if c.id not in h], [c for c in cases if c.id in h]) for h in held)
        check_folds(pairs, cases, test=test)
        return cls(pairs, seed, _notes(cases, pairs))


def folds(cases: Sequence[Case], k: int = 10, seed: int = 0, *, test: Sequence[Case] = ()) -> Folds:
    """Deal whole groups (patients) out to k folds, every stratum in the same proportions as far as groups allow.

    A stratum is a class, a combination of labels, a fifth of the range of scores, or a fifth of the sizes of the
    lesion, of each case. The dealing is scikit-learn's ``StratifiedGroupKFold``; the same cases and seed give the
    same folds, in whatever order the cases come.

    Args:
        cases: to be validated, each exactly once.
        k: how many folds.
        seed: of the dealing.
        test: the held-out side; none of its groups may be among the cases.

    Raises:
        UsageError: fewer than 2 folds.
        InputError: fewer groups than folds, two cases with one id, a group that is in ``test`` as well.

    Example:
        >>> import torch
        >>> cases = [Case(id=str(i), inputs={"t": torch.zeros(1)}, truth=i % 2) for i in range(20)]
        >>> [(len(train), len(val)) for train, val in folds(cases, 5)]
        [(16, 4), (16, 4), (16, 4), (16, 4), (16, 4)]
    """
    if k < 2:
        raise UsageError(f"{k} folds: give at least 2, one to validate on and the rest to train on")
    check_unique(cases)
    n = len({str(c.group) for c in cases})
    if n < k:
        raise InputError(f"{len(cases)} cases of {n} groups cannot fill {k} folds; take fewer folds, or add patients")
    order = sorted(cases, key=lambda c: (str(c.group), c.id))
    kinds = strata({c.id: [c] for c in order})
    y = np.asarray([kinds[c.id] for c in order])
    notes = []
    if max(np.unique(y, return_counts=True)[1]) < k:
        y = np.full(len(order), "all")  # scikit-learn refuses strata that are all smaller than the number of folds
        notes.append(f"no class has as many cases as there are folds ({k}): patients were dealt without regard to it")
    dealer = StratifiedGroupKFold(n_splits=k, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # said below, with what to do
        held = [
            {order[i].id for i in val}
            for _, val in dealer.split(np.zeros(len(order)), y, [str(c.group) for c in order])
        ]
    pairs = tuple(([c for c in cases if c.id not in h], [c for c in cases if c.id in h]) for h in held)
    check_folds(pairs, cases, test=test)
    return Folds(pairs, seed, (*notes, *_notes(cases, pairs)))


def check_folds(pairs: Sequence[Pair], cases: Sequence[Case], *, test: Sequence[Case] = ()) -> None:
    """Make sure that the folds are those of a cross-validation, and that no patient is on two sides.

    Raises:
        InputError: a side that is empty, a group on both sides of a fold, a case that is validated more than once or
            never, one that is on neither side of a fold, or a group of the test side. Counts only; no names.
    """
    everyone = {c.id for c in cases}
    tested = {str(c.group) for c in test}
    leaking = {str(c.group) for train, val in pairs for c in (*train, *val)} & tested
    if leaking:
        raise InputError(
            f"{len(leaking)} of {len(tested)} groups of the held-out test side are in the folds as well: what was "
            "trained on would be tested; split by group with pellucid.split"
        )
    times: dict[str, int] = defaultdict(int)
    for number, (train, val) in enumerate(pairs, 1):
        if not train or not val:
            raise InputError(f"fold {number} of {len(pairs)} has {len(train)} training and {len(val)} validation cases")
        both = {str(c.group) for c in train} & {str(c.group) for c in val}
        if both:
            raise InputError(
                f"fold {number} of {len(pairs)}: {len(both)} groups are on two sides (training and validation); deal "
                "whole patients with pellucid.data.folds"
            )
        if {c.id for c in (*train, *val)} != everyone or len(train) + len(val) != len(everyone):
            raise InputError(
                f"fold {number} of {len(pairs)} has {len(train)} training and {len(val)} validation cases, which are "
                f"not the {len(everyone)} that are cross-validated, each once"
            )
        for case in val:
            times[case.id] += 1
    wrong = sum(times[i] != 1 for i in everyone)
    if wrong:
        raise InputError(f"{wrong} of {len(everyone)} cases are not validated exactly once over the {len(pairs)} folds")


def _notes(cases: Sequence[Case], pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Classes that a fold lacks, and patients of more than one class."""
    of_group: dict[str, set[Any]] = defaultdict(set)
    for case in cases:
        if isinstance(case.truth, int):
            of_group[str(case.group)].add(case.truth)
    mixed = sum(len(classes) > 1 for classes in of_group.values())
    notes = []
    if mixed:
        notes.append(f"{mixed} of {len(of_group)} groups have cases of more than one class; each stays whole in a fold")
    every = _classes(cases)
    for side, name in enumerate(("training", "validation")):
        lacking = {
            what: [n for n, pair in enumerate(pairs, 1) if what not in _classes(pair[side])] for what in sorted(every)
        }
        for what, where in lacking.items():
            if where:
                these = ", ".join(map(str, where[:5])) + (", …" if len(where) > 5 else "")
                notes.append(
                    f"{every[what]} is in no {name} case of {len(where)} of {len(pairs)} folds ({these}), where what "
                    f"needs it is undefined; {MEND}"
                )
    return tuple(notes)


def _classes(cases: Sequence[Case]) -> Mapping[tuple[int, int], str]:
    """The classes that some cases have; of labels, that it is there and that it is not are two."""
    found: dict[tuple[int, int], str] = {}
    for case in cases:
        if isinstance(case.truth, int):
            found[case.truth, 1] = f"class {case.truth}"
        elif isinstance(case.truth, Tensor) and case.truth.ndim == 1:
            for k, there in enumerate(case.truth.tolist()):
                found[k, int(there > 0)] = f"label {k}" if there > 0 else f"the absence of label {k}"
    return found
