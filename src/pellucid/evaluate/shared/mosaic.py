"""Mosaics: the case beside others of its class and of other classes, in one picture of the usual size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as nnf
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.evaluate.undefined import Undefined

if TYPE_CHECKING:
    from pellucid.evaluate.evidence import Evidence


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Two tiles along every axis, half of them of the class.

    Attributes:
        case: the mosaic; its tables are those of the case.
        own: ``(2ᵈ,)`` whether a tile shows the class, in row-major order.
    """

    case: Case
    own: tuple[bool, ...]

    def inside(self, shape: Sequence[int]) -> Tensor:
        """The tiles of the class on a picture of this shape, bool."""
        mask = torch.zeros(tuple(shape), dtype=torch.bool)
        for own, place in zip(self.own, places(shape)):
            mask[place] = own
        return mask


def places(shape: Sequence[int]) -> list[tuple[slice, ...]]:
    """The 2ᵈ tiles of a picture, in row-major order; along an odd axis the first is the smaller."""
    return list(product(*[(slice(0, n // 2), slice(n // 2, n)) for n in shape]))


def mosaics(evidence: Evidence, k: int, count: int) -> list[Mosaic]:
    """``count`` mosaics of a class around the case, the same for all its maps, drawn from the seed.

    Half of the tiles show the class: the case first, then background cases of its class (the case again where there are
    none); the other half show background cases of other classes. Pictures are shrunk by averaging.

    Raises:
        Undefined: no classification, a case that is not known to be of the class, or no background case of another.
    """
    return evidence.once(("mosaics", k, count), lambda: _mosaics(evidence, k, count))


def _mosaics(evidence: Evidence, k: int, count: int) -> list[Mosaic]:
    predictor, case = evidence.engine.predictor, evidence.case
    if predictor.task != "classification":
        raise Undefined(f"a mosaic is of several classes, and this is a {predictor.task}")
    if not case.images or min(min(case.inputs[n].shape[1:]) for n in case.images) < 2:
        raise Undefined("there is no picture of two pixels or more along every axis to make a mosaic of")
    name = predictor.class_name(k)
    if not is_of(predictor, case, k):
        raise Undefined(f"the case is not known to be of the class that is explained, {name!r}")
    others = [c for c in evidence.background if c.id != case.id and c.group != case.group and _fits(c, case)]
    same = [c for c in others if is_of(predictor, c, k)] or [case]
    rest = [c for c in others if is_of(predictor, c, k) is False]
    if not rest:
        raise Undefined(f"no background case of a class other than {name!r}: give some (background=…)")
    rng = torch.Generator().manual_seed(evidence.seed)
    half = 2 ** len(case.spatial) // 2
    return [_mosaic(case, [case, *_drawn(same, half - 1, rng)], _drawn(rest, half, rng), rng) for _ in range(count)]


def is_of(predictor: Predictor, case: Case, k: int) -> bool | None:
    """Whether a case's truth is class k, or has it among its labels; None if that is not known."""
    truth = case.truth
    if isinstance(truth, str):
        return truth == predictor.class_name(k)
    if isinstance(truth, int):
        return truth == (1 if len(predictor.classes) == 1 else k)  # one output: it speaks for label 1
    if isinstance(truth, Tensor) and truth.ndim == 1 and k < len(truth):
        return bool(truth[k] > 0)
    return None


def _fits(other: Case, case: Case) -> bool:
    """Whether the other case has the same pictures, of the same channels and number of axes."""
    wanted = [n for n in case.images if n not in case.missing]
    return all(n in other.inputs and n not in other.missing and other.inputs[n].ndim == case.inputs[n].ndim
               and len(other.inputs[n]) == len(case.inputs[n]) for n in wanted)  # fmt: skip


def _drawn(cases: Sequence[Case], n: int, rng: torch.Generator) -> list[Case]:
    """n cases in random order, each again only when all have been taken."""
    order: list[int] = []
    while len(order) < n:
        order += torch.randperm(len(cases), generator=rng).tolist()
    return [cases[i] for i in order[:n]]


def _mosaic(case: Case, own: Sequence[Case], rest: Sequence[Case], rng: torch.Generator) -> Mosaic:
    tiles = [(c, True) for c in own] + [(c, False) for c in rest]
    tiles = [tiles[i] for i in torch.randperm(len(tiles), generator=rng).tolist()]
    inputs = dict(case.inputs)
    for name in case.images:
        if name in case.missing:
            continue
        whole = torch.empty_like(case.inputs[name])
        for (c, _), place in zip(tiles, places(whole.shape[1:])):
            whole[(slice(None), *place)] = _shrunk(c.inputs[name], whole[(slice(None), *place)].shape[1:])
        inputs[name] = whole
    return Mosaic(case.replace(inputs=inputs, regions={}, truth=None), tuple(o for _, o in tiles))


def _shrunk(x: Tensor, shape: Sequence[int]) -> Tensor:
    return nnf.interpolate(x[None], tuple(shape), mode="area")[0]
