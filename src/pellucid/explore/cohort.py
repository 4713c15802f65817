"""The cases of a study as a table: who is in which part, what the truth says, what is known of the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.core.case import Case
from pellucid.errors import UsageError, nearest
from pellucid.types import Task

Kind = Literal["exclusive", "labels", "score", "mask", "none"]
ALL = "all cases"
OTHERS = "none of them"
THIRDS = ("lowest third", "middle third", "highest third")
# How to draw it, the truth once more, or which side of a split it is on.
NOT_ASKED = ("window", "features", "orientation", "class", "group_is", "part")


@dataclass(frozen=True, eq=False)
class Cohort:
    """What is known of every case without its pictures.

    Attributes:
        frame: ``case``, ``part``, ``group`` (the patient), one row per case.
        meta: the scalars of ``Case.meta``, same rows; a column that a case lacks is missing there.
        kind: what the truth is: one of several ``exclusive`` classes, independent ``labels``, a ``score``, a ``mask``
            (then the labels say which of its classes occur in it), or ``none``.
        classes: names of the columns of ``has`` or ``scores``.
        has: ``(n, K)`` 1 where the case has the class, 0 where not, NaN where the truth is unknown.
        scores: ``(n, K)`` of a regression, NaN where unknown.
    """

    frame: pd.DataFrame
    meta: pd.DataFrame
    kind: Kind
    classes: tuple[str, ...]
    has: NDArray[np.float64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def patients(self) -> NDArray[np.int64]:
        """The number of each case's patient."""
        return pd.factorize(self.frame["group"])[0].astype(np.int64)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which cases have a truth."""
        table = self.scores if self.kind == "score" else self.has
        return np.asarray(np.isfinite(table).any(1) if table.shape[1] else np.zeros(len(self)), bool)

    @property
    def contrasts(self) -> tuple[int, ...]:
        """The classes that are worth setting against the rest: of two exclusive ones the second says it all."""
        if self.kind == "exclusive" and len(self.classes) == 2:
            return (1,)
        return tuple(range(self.has.shape[1]))

    def groups(self, only: Sequence[str] = ()) -> dict[str, NDArray[np.bool_]]:
        """What pictures, tables and people are shown by: name to the cases in it; those that have none are left out.

        Classes; of independent labels a case is in each that it has, and in ``none of them`` without any; of a score
        its thirds; else all cases.

        Raises:
            UsageError: ``only`` names what there is not.
        """
        named = {str(c): self.has[:, k] == 1 for k, c in enumerate(self.classes)} if self.has.shape[1] else {}
        if self.kind in ("labels", "mask"):
            named[OTHERS] = (self.has == 0).all(1)
        if self.kind == "score":
            first = self.scores[:, 0]
            cuts = np.nanquantile(first, [1 / 3, 2 / 3]) if np.isfinite(first).any() else np.zeros(2)
            place = np.where(np.isfinite(first), np.searchsorted(cuts, np.nan_to_num(first), side="left"), -1)
            named = {name: place == k for k, name in enumerate(THIRDS)}
        for name in only:
            if name not in named:
                raise UsageError(f"eda.classes: {name!r} is no class; {nearest(name, named)}")
        found = {k: v for k, v in named.items() if v.any() and (not only or k in only)}
        same = len(found) == 1 and bool(next(iter(found.values())).all())
        return {ALL: np.ones(len(self), bool)} if not found or (same and self.kind == "mask") else found

    def only(self, rows: NDArray[np.bool_]) -> Cohort:
        """The cohort of some of its cases."""
        return replace(
            self, frame=self.frame[rows].reset_index(drop=True), meta=self.meta[rows].reset_index(drop=True),
            has=self.has[rows], scores=self.scores[rows],
        )  # fmt: skip


def cohort(parts: Mapping[str, Sequence[Case]], *, task: Task, classes: Sequence[str] = ()) -> Cohort:
    """The cases of all parts, read for what they say without their pictures.

    Args:
        parts: name of a part to its cases.
        task: what the truth is of.
        classes: names of the outputs; numbered where there are none, or fewer than the truth has.
    """
    cases = [(part, c) for part, found in parts.items() for c in found]
    truths = [c.truth for _, c in cases]
    frame = pd.DataFrame({
        "case": [c.id for _, c in cases], "part": [p for p, _ in cases], "group": [c.group for _, c in cases],
    })  # fmt: skip
    meta = pd.DataFrame([_scalars(c) for _, c in cases], index=range(len(cases)))
    nothing = np.zeros((len(cases), 0))
    if all(t is None for t in truths):
        return Cohort(frame, meta, "none", (), nothing, nothing)
    if task == "regression":
        rows = [None if t is None else np.atleast_1d(np.asarray(t, float)) for t in truths]
        table = _table(rows)
        return Cohort(frame, meta, "score", _names(classes, table.shape[1], "score"), nothing, table)
    if task == "segmentation":
        values, names = _labels_of(truths, classes)
        rows = [None if t is None else np.asarray([float((t == v).any()) for v in values]) for t in truths]
        return Cohort(frame, meta, "mask", names, _table(rows, len(values)), nothing)
    if any(isinstance(t, Tensor) for t in truths):
        table = _table([np.asarray(t, float) if isinstance(t, Tensor) else None for t in truths])
        return Cohort(frame, meta, "labels", _names(classes, table.shape[1], "label"), table, nothing)
    places = [_place(t, classes) for t in truths]
    most = max((p for p in places if p is not None), default=0) + 1
    names = _names(classes, max(most, len(classes)), "class")
    table = _table([None if p is None else np.eye(len(names))[p] for p in places], len(names))
    return Cohort(frame, meta, "exclusive", names, table, nothing)


def label_names(labels: Sequence[int], classes: Sequence[str]) -> dict[int, str]:
    """What the labels of a mask are called: 1 by the only class, others by their place among the classes."""
    if len(classes) <= 1:
        return {v: str(classes[0]) if classes and v == 1 else f"label {v}" for v in labels}
    return {v: str(classes[v]) if v < len(classes) else f"label {v}" for v in labels}


def _labels_of(truths: Sequence[Any], classes: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """The labels that masks may have, the background left out, and their names."""
    seen = {v for t in truths if isinstance(t, Tensor) for v in torch.unique(t).tolist() if v != 0}
    named = {1} if len(classes) == 1 else set(range(1, len(classes)))
    values = sorted(int(v) for v in seen | named)
    return values, tuple(label_names(values, classes).values())


def _place(truth: Any, classes: Sequence[str]) -> int | None:
    if isinstance(truth, str):
        return list(classes).index(truth) if truth in classes else None
    return None if truth is None else int(truth)


def _names(classes: Sequence[str], n: int, what: str) -> tuple[str, ...]:
    """The names given, as far as they go."""
    alone = what if n == 1 else None
    return tuple(str(classes[k]) if k < len(classes) else alone or f"{what} {k}" for k in range(n))


def _table(rows: Sequence[NDArray[np.float64] | None], width: int | None = None) -> NDArray[np.float64]:
    wide = max((len(r) for r in rows if r is not None), default=0) if width is None else width
    return np.array([np.full(wide, np.nan) if r is None or len(r) != wide else r for r in rows]).reshape(-1, wide)


def _scalars(case: Case) -> dict[str, Any]:
    return {
        k: v for k, v in case.meta.items() if isinstance(v, str | int | float | bool) and k not in NOT_ASKED
    }  # fmt: skip
