"""Methods whose map follows from a weighted sum of gradients, voxel by voxel, so that it can be made plane by plane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Copies:
    """Perturbed copies of one case, made some planes at a time.

    Attributes:
        count: how many.
        make: ``(start, stop, copy)`` to input name to ``(1, C, stop − start, …)``, planes of the first spatial axis;
            a copy's planes are the same whichever range they are asked in.
        weight: of a copy in the sum.
    """

    count: int
    make: Callable[[int, int, int], dict[str, Tensor]]
    weight: Callable[[int], float]


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear:
    """``finish(Σ_c weight(c) · ∂y/∂x (copy c))``.

    Attributes:
        finish: ``(input name, summed gradient (C, planes, …), start, stop)`` to the map there, of the same shape or
            without the channel axis; ``finish`` of nothing is nothing.
        copies: whose gradients are summed; the case itself if None.
    """

    finish: Callable[[str, Tensor, int, int], Tensor]
    copies: Copies | None = None
