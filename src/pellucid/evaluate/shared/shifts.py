"""Copies of a case whose pictures are shifted."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.evaluate.undefined import Undefined


def shift(x: Tensor, fill: Tensor, by: int, axis: int) -> Tensor:
    """``x`` moved by so many pixels along an axis; what comes in from outside is the fill's."""
    size = x.shape[axis]
    by = max(-size, min(size, by))
    place = torch.arange(size)
    from_x = (place >= by) & (place < size + by)
    view = [1] * x.ndim
    view[axis] = size
    return torch.where(from_x.view(view).to(x.device), x.roll(by, axis), fill.to(x))


def amounts(size: int, share: float, steps: int) -> list[int]:
    """Whole pixels, ``steps`` each way, the largest ``share`` of a side; at least one pixel."""
    up = [max(1, round(size * share * k / steps)) for k in range(1, steps + 1)]
    return [-n for n in reversed(up)] + up


def shifted(case: Case, filled: Mapping[str, Tensor], share: float, steps: int, axis: int) -> list[Case]:
    """Copies of a case with all of its pictures shifted together, tables as they are.

    Args:
        case: the clean one.
        filled: input name to its stand-in, ``(1, …)``.
        share: the largest shift, as a share of a picture's side.
        steps: shifts each way.
        axis: −1 the last spatial axis, −2 the one before, −3 the first of a volume.

    Raises:
        Undefined: no picture, or one without that axis.
    """
    pictures = {k: v for k, v in case.inputs.items() if k in filled and v.ndim > 1}
    if not pictures:
        raise Undefined("the model sees tables only: there is nothing to shift")
    for name, x in pictures.items():
        if -axis > x.ndim - 1:
            raise Undefined(f"{name!r} has {x.ndim - 1} spatial axes, so none is axis {axis}")
    found = []
    for k in range(2 * steps):
        moved = {
            name: shift(x, filled[name][0].to(x.device), amounts(x.shape[axis], share, steps)[k], axis)
            for name, x in pictures.items()
        }
        found.append(case.replace(inputs={**case.inputs, **moved}))
    return found
