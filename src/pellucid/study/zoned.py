"""The zones of an explained case: those of its regions, the thirds of a lung mask, or a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.data.zones import LUNG_ZONES, PREFIX, lung_zones
from pellucid.errors import InputError, UsageError
from pellucid.study.analysis import Analysis

OUTSIDE, ELSEWHERE = "outside the lungs", "elsewhere"


@dataclass(frozen=True, kw_only=True)
class Zoning:
    """Where zones come from.

    Attributes:
        zones: names of the case's regions; those called ``zone …`` if None.
        lungs: name of a region that is the mask of both lungs, cut here into six.
        grid: rows and columns of the picture, in place of both.
    """

    zones: tuple[str, ...] | None = None
    lungs: str | None = None
    grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check that one of them is asked for."""
        given = [n for n in ("zones", "lungs", "grid") if getattr(self, n) is not None]
        if len(given) > 1:
            raise UsageError(f"zones: give one of zones, lungs, grid; this has {' and '.join(given)}")
        if self.grid is not None and (len(self.grid) != 2 or min(self.grid) < 1):
            raise UsageError(f"zones: grid={list(self.grid)}; give rows and columns, such as [3, 2]")

    def of(self, case: Case, *, mirrored: bool = False) -> dict[str, Tensor]:
        """Name to mask ``(*spatial)`` of every zone of a case, and what lies in none of them.

        Raises:
            InputError: the case has no such region, or no picture with two axes where lungs or a grid are cut.
        """
        if (self.grid is not None or self.lungs is not None) and len(case.spatial) != 2:
            raise InputError(f"case {case.id}: zones are cut in 2-D pictures, this case has {len(case.spatial)} axes")
        if self.grid is not None:
            return _cells(case.spatial, self.grid)
        if self.lungs is not None:
            found = lung_zones(case.region(self.lungs).numpy(), mirrored=mirrored)
            return _with_rest({n: torch.as_tensor(z) for n, z in found.items()}, OUTSIDE)
        names = [n for n in case.regions if n.startswith(PREFIX)] if self.zones is None else list(self.zones)
        if not names:
            raise InputError(
                f"case {case.id}: no zones; add {LUNG_ZONES} to data.zones, name regions (zones: […]), give the region "
                "of the lungs (lungs: lungs), or grid: [3, 2]"
            )
        masks = {n.removeprefix(PREFIX): case.region(n) for n in names}
        return _with_rest(masks, OUTSIDE if all(n.startswith(PREFIX) for n in names) else ELSEWHERE)


@dataclass(frozen=True, kw_only=True)
class Zoned(Analysis):
    """Base of the analyses that look at zones of the picture.

    Attributes:
        zones, lungs, grid: see :class:`Zoning`.
        n_boot: draws of the patients.
        seed: of the draws; the run's if None.
    """

    zones: tuple[str, ...] | None = None
    lungs: str | None = None
    grid: tuple[int, ...] | None = None
    n_boot: int = 2000
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        _ = self.zoning
        if self.n_boot < 1:
            raise UsageError(f"analysis {self.name!r}: n_boot={self.n_boot}: give 1 or more")

    @property
    def zoning(self) -> Zoning:
        """Where the zones come from."""
        one: Any = self.grid
        return Zoning(zones=several(self.zones), lungs=self.lungs, grid=one)


def several(value: Any) -> tuple[str, ...] | None:
    """A tuple of what may be one, several or nothing."""
    return None if value is None else (value,) if isinstance(value, str) else tuple(value)


def _with_rest(masks: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The masks, and what lies in none of them."""
    rest = ~torch.stack([m != 0 for m in masks.values()]).any(0)
    return {**masks, name: rest}


def _cells(shape: Sequence[int], grid: tuple[int, int]) -> dict[str, Tensor]:
    """``row 1, column 1`` … of a picture, row by row from the upper left."""
    sides = [torch.as_tensor(np.arange(n) * parts // n) for n, parts in zip(shape, grid, strict=True)]
    return {
        f"row {i + 1}, column {j + 1}": (sides[0] == i)[:, None] & (sides[1] == j)[None]
        for i in range(grid[0]) for j in range(grid[1])
    }  # fmt: skip
