"""Maps as vectors, and how alike two of them are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.evaluate.undefined import Undefined

SLIGHT = 0.01


def heat(a: Attribution) -> dict[str, Tensor]:
    """The maps of the image inputs, channels summed: input name to ``(*spatial)``, float64.

    Raises:
        Undefined: a value is NaN or infinite.
    """
    found = {name: a.spatial(name).double() for name in a.images}
    _finite(found)
    return found


def vector(a: Attribution) -> Tensor:
    """All image maps of an attribution, channels summed, as one float64 vector; its tables if there are no images.

    Inputs come in the order of their names, whatever order the maps are in, so that two vectors always correspond. A
    table's values are on a scale of their own, so they are never mixed with those of pixels.

    Raises:
        Undefined: a value is NaN or infinite, or there is no map.
    """
    parts = heat(a) if a.images else {name: a.maps[name].double() for name in a.tables}
    _finite(parts)
    if not parts:
        raise Undefined(f"{a.method} made no map")
    return torch.cat([parts[name].flatten() for name in sorted(parts)])


def check_fits(a: Attribution, case: Case) -> None:
    """Raise Undefined unless every map has the grid of its input, with as many channels, with one or without."""
    for name, m in a.maps.items():
        if name not in case.inputs:
            raise Undefined(f"there is a map of {name!r}, which the case does not have")
        own, its = tuple(m.shape), tuple(case.inputs[name].shape)
        axes = len(its) - 1
        if own in (its, *([its[1:], (1, *its[1:])] if axes else [])):
            continue
        if axes and len(own) in (axes, axes + 1) and own[-axes:] != its[1:]:
            own, its = own[-axes:], its[1:]
        raise Undefined(f"the map of {name!r} is {own}, the {'image' if axes else 'table'} is {its}")


def check_same_size(a: Tensor, b: Tensor) -> None:
    """Raise Undefined unless two maps have as many values."""
    if len(a) != len(b):
        raise Undefined(f"one map has {len(a)} values and the other {len(b)}, so they cannot be compared")


def pearson(a: Tensor, b: Tensor) -> float:
    """Pearson's r of two vectors, in [−1, 1].

    Raises:
        Undefined: one of them is constant.
    """
    check_same_size(a, b)
    for v in (a, b):
        if len(v) < 2 or v.max() == v.min():
            raise Undefined("a map is the same everywhere, so it has no correlation")
    a, b = a - a.mean(), b - b.mean()
    # Scaled first, so that squares of tiny or huge maps neither vanish nor overflow.
    a, b = a / a.abs().max(), b / b.abs().max()
    return float((a @ b / (a.norm() * b.norm())).clamp(-1, 1))


def spearman(a: Tensor, b: Tensor) -> float:
    """Spearman's ρ of two vectors, ties given their mean rank, in [−1, 1].

    Raises:
        Undefined: one of them is constant.
    """
    return pearson(ranks(a), ranks(b))


def likeness(a: Tensor, b: Tensor) -> float:
    """Spearman's ρ of the magnitudes of two maps where at least one of them is more than 1 % of its maximum.

    The empty rest is left out: that two maps agree on the air around a patient is no similarity.

    Raises:
        Undefined: one of them is constant there, or zero.
    """
    check_same_size(a, b)
    a, b = a.abs(), b.abs()
    if not float(a.max()) > 0 or not float(b.max()) > 0:
        raise Undefined("a map is zero everywhere, so it is like no other")
    seen = (a > SLIGHT * a.max()) | (b > SLIGHT * b.max())
    return spearman(a[seen], b[seen])


def ranks(a: Tensor) -> Tensor:
    """Ranks from 1, ties given their mean."""
    values: NDArray[np.float64] = rankdata(a.numpy())
    return torch.from_numpy(values)


def _finite(maps: dict[str, Tensor]) -> None:
    for name, m in maps.items():
        if not torch.isfinite(m).all():
            raise Undefined(f"the map of {name!r} has NaN or infinite values")
