"""Which pixels a token stands for where the gradient cannot tell: by the caller's word, or by counting."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from torch import Tensor

from pellucid.engine.places import even
from pellucid.engine.sources import Seen
from pellucid.errors import UsageError


class Counts:
    """Places of tokens by their number.

    Args:
        leaves: the inputs of one case.
        name: of the model, for messages.
        grid: of the patches, where the caller knows.
        prefix: number of tokens before the patches, likewise.
    """

    def __init__(
        self, leaves: dict[str, Tensor], name: str, grid: tuple[int, ...] | None, prefix: int | None
    ) -> None:
        self.leaves, self.name, self.grid, self.prefix = leaves, name, grid, prefix
        self.fits = False

    def given(self, use: Seen, name: str, count: int) -> Tensor | None:
        """The places by the caller's word, if the number of tokens fits."""
        grid, prefix = self.grid, self.prefix
        if grid is not None:
            axes = self.leaves[name].ndim - 2
            if len(grid) != axes:
                raise UsageError(f"grid={grid} has {len(grid)} axes, input {name!r} has {axes}")
            before = count - prod(grid) if prefix is None else prefix
            if before < 0 or before + prod(grid) != count:
                return None
            self.fits = True
            return even(self.leaves[name].shape[2:], grid, before)
        assert prefix is not None
        ways = {g for g in self._grids(use, name) if prod(g) == count - prefix}
        if len(ways) > 1:
            raise self._ambiguous(use, name, count, [(prefix, g) for g in ways])
        return even(self.leaves[name].shape[2:], next(iter(ways)), prefix) if ways else None

    def counted(self, use: Seen, images: list[str], count: int) -> Tensor | None:
        """The places by the number of tokens, where just one spatial map fits it."""
        if len(images) != 1:
            return None
        ways = {(count - prod(g), g) for g in self._grids(use, images[0]) if 0 <= count - prod(g) <= 8}
        if len(ways) > 1:
            raise self._ambiguous(use, images[0], count, sorted(ways))
        if not ways:
            return None
        ((before, grid),) = ways
        return even(self.leaves[images[0]].shape[2:], grid, before)

    def _grids(self, use: Seen, name: str) -> set[tuple[int, ...]]:
        """The grids of the maps seen so far, and those of patches with equal sides."""
        shape = tuple(self.leaves[name].shape[2:])
        equal = {tuple(s // p for s in shape) for p in range(2, min(shape) + 1) if all(s % p == 0 for s in shape)}
        maps = {g for g in use.maps.values() if len(g) == len(shape)}
        return maps or equal

    def _ambiguous(self, use: Seen, name: str, count: int, ways: Sequence[Any]) -> UsageError:
        text = " or ".join(f"grid={g} with prefix={p}" for p, g in ways)
        return UsageError(
            f"attention {use.name!r} has {count} tokens, which pixels of {name!r} they stand for is not clear: {text}? "
            "Give the options grid and prefix"
        )

    def why(self, use: Seen, windows: int) -> str:
        """What is said where no place can be found."""
        grids = sorted(set(use.maps.values()))
        count = use.values.shape[-2]
        return (
            f"attention {use.name!r} of {self.name} has {windows} x {count} tokens, but which pixels each stands for "
            "cannot be told: a pixel enters several of them; spatial maps before it: "
            f"{', '.join(map(str, grids)) or 'none'}; "
            "give the options grid=(…) and prefix=…, the tokens before the patches"
        )
