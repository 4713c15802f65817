"""What the metrics that look over a cohort compare a case with: coarse maps of all cases, and their classes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from pellucid.core.attribution import Attribution
from pellucid.errors import InputError, UsageError
from pellucid.evaluate.maths import heat
from pellucid.evaluate.undefined import Undefined

GRID = 4
Key = tuple[str, str, int]  # method, target, and which of several maps of both


@dataclass(frozen=True, eq=False)
class Signatures:
    """The maps of n cases by one method for one target.

    Attributes:
        ids: of the cases.
        values: ``(n, F)`` float64, each row divided by its largest magnitude.
        predicted: ``(n,)`` the predicted class of each case.
        without: ids of the cases whose map says nothing, and why.
    """

    ids: tuple[str, ...]
    values: Tensor
    predicted: tuple[int, ...]
    without: Mapping[str, str]

    def place(self, case_id: str) -> int:
        """The row of a case that has others beside it.

        Raises:
            Undefined: the case is not in the cohort, its map says nothing, or it is the only one.
        """
        if case_id in self.without:
            raise Undefined(self.without[case_id])
        if case_id not in self.ids:
            raise Undefined("the case is not in the cohort; make the cohort of its maps as well")
        if len(self.ids) < 2:
            raise Undefined("the cohort has no other case with a map")
        return self.ids.index(case_id)

    @cached_property
    def distances(self) -> Tensor:
        """``(n, n)`` Euclidean distances with every column in units of its sd, as shares of the largest.

        Columns that are the same in all cases are left out; if all are, every distance is zero.
        """
        sd = self.values.std(0)
        told = sd > 0
        if not told.any():
            return torch.zeros(len(self.ids), len(self.ids), dtype=torch.double)
        z = self.values[:, told] / sd[told]
        # Differences, not products: those of equal maps are exactly zero.
        found = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")
        return found / found.max()

    @cached_property
    def ranked(self) -> Tensor:
        """``(n, F)`` of every case its columns by magnitude, largest first: twice the column, one more if positive."""
        order = self.values.abs().argsort(dim=1, descending=True, stable=True)
        return 2 * order + (self.values.gather(1, order) > 0).long()

    def same(self, place: int, top: int) -> Tensor:
        """``(n,)`` bool: whose ``top`` values of largest magnitude are those of this case, in place and sign.

        Maps that are the same everywhere have no largest value and are like no other.
        """
        strongest = self.ranked[:, :top].sort(dim=1).values
        told = self.values.amax(1) > self.values.amin(1)
        return told & (strongest == strongest[place]).all(1)


@dataclass(frozen=True, eq=False)
class Cohort:
    """The signatures of a cohort by method and target, made by :func:`signatures`."""

    by: Mapping[Key, Signatures]

    def of(self, maps: Sequence[Attribution], place: int) -> Signatures:
        """The signatures beside one of a case's maps.

        Raises:
            Undefined: the cohort has no map of that method and target.
        """
        key = keys(maps)[place]
        if key not in self.by:
            raise Undefined(f"the cohort has no map of {key[0]} for this target")
        return self.by[key]


def signatures(
    attributions: Iterable[Attribution], predicted: Mapping[str, int] | None = None, *, grid: int | None = GRID
) -> Cohort:
    """The coarse maps of a cohort; the maps themselves are not kept.

    A map becomes the means over a grid of equal blocks on each picture, channels summed, tables left out (on their
    own where there are no pictures), so that cases of different size compare and a thousand volumes take little.

    Args:
        attributions: of all cases, the one to be scored included; they may come one by one.
        predicted: case id to predicted class; taken from the maps if they explain the class ``"predicted"``.
        grid: blocks along each axis; None for the exact maps, which then have to be of one size.

    Raises:
        UsageError: a case whose predicted class is not known, a grid of less than one block.
        InputError: exact maps of different size.

    Example:
        >>> a = Attribution(maps={"x": torch.eye(8)[None]}, method="m", case_id="1", score=0.0,
        ...                 target={"kind": "class", "k": "predicted", "index": 1, "label": "b"})
        >>> found = signatures([a, a.replace(case_id="2")]).of([a], 0)
        >>> found.ids, found.values.shape, found.predicted
        (('1', '2'), torch.Size([2, 16]), (1, 1))
    """
    if grid is not None and grid < 1:
        raise UsageError(f"grid={grid}: give 1 or more blocks along each axis, or None for the exact maps")
    seen: Counter[tuple[str, str, str]] = Counter()
    rows: dict[Key, dict[str, Tensor]] = {}
    without: dict[Key, dict[str, str]] = {}
    classes: dict[str, int] = dict(predicted or {})
    for a in attributions:
        method, target = _described(a)
        key = (method, target, seen[a.case_id, method, target])
        seen[a.case_id, method, target] += 1
        rows.setdefault(key, {})
        without.setdefault(key, {})
        if a.case_id not in classes:
            if a.target.get("k") != "predicted":
                raise UsageError(f"case {a.case_id}: its predicted class is not known; give predicted={{id: class}}")
            classes[a.case_id] = int(a.target["index"])
        try:
            rows[key][a.case_id] = coarse(a, grid)
        except Undefined as reason:
            without[key][a.case_id] = str(reason)
    return Cohort({key: _joined(found, classes, without[key]) for key, found in rows.items()})


def coarse(a: Attribution, grid: int | None) -> Tensor:
    """``(F,)`` a map as block means, divided by the largest magnitude.

    Raises:
        Undefined: it is not finite, or zero.
    """
    maps = heat(a) if a.images else {name: a.maps[name].double() for name in a.tables}
    parts = []
    for name in sorted(maps):
        m = maps[name]
        if grid is not None and m.ndim > 1:
            pool = functional.adaptive_avg_pool2d if m.ndim == 2 else functional.adaptive_avg_pool3d
            m = pool(m[None], grid)
        parts.append(m.flatten())
    joined = torch.cat(parts) if parts else torch.zeros(0, dtype=torch.double)
    if not torch.isfinite(joined).all():
        raise Undefined("the map has NaN or infinite values")
    if not len(joined) or not joined.abs().max() > 0:
        raise Undefined("the map is zero everywhere")
    return joined / joined.abs().max()


def keys(maps: Sequence[Attribution]) -> list[Key]:
    """Of every map of one case what it is in a cohort."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for a in maps:
        described = _described(a)
        found.append((*described, seen[described]))
        seen[described] += 1
    return found


def _described(a: Attribution) -> tuple[str, str]:
    target = {k: v for k, v in a.target.items() if k not in ("index", "label")}
    return a.method, json.dumps(target, sort_keys=True, default=str)


def _joined(found: Mapping[str, Tensor], classes: Mapping[str, int], without: Mapping[str, str]) -> Signatures:
    sizes = {case: len(v) for case, v in found.items()}
    if len(set(sizes.values())) > 1:
        first, other = next(iter(sizes)), next(c for c, n in sizes.items() if n != next(iter(sizes.values())))
        raise InputError(
            f"case {other}: its map has {sizes[other]} values, that of case {first} has {sizes[first]}; exact maps "
            "have to be of one size: give a grid"
        )
    values = torch.stack(list(found.values())) if found else torch.zeros(0, 0, dtype=torch.double)
    return Signatures(tuple(found), values, tuple(classes[c] for c in found), without)
