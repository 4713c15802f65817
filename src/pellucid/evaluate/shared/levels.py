"""A map as a detector: what it finds as its threshold falls, from one sort, with ties treated right."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Levels:
    """The L distinct values of a map from the highest, and what has at least that value.

    Pixels that tie come in together, so that no order among them is made up.

    Attributes:
        values: ``(L,)``, falling.
        size: ``(L,)`` how many pixels have at least this value; float64.
        hits: ``(L,)`` how many of those lie in the region; float64.
    """

    values: Tensor
    size: Tensor
    hits: Tensor

    @property
    def pixels(self) -> int:
        """All of them."""
        return int(self.size[-1])

    @property
    def region(self) -> int:
        """Those of the region."""
        return int(self.hits[-1])

    def at_least(self, threshold: Tensor) -> tuple[Tensor, Tensor]:
        """How many pixels have at least each threshold, and how many of them lie in the region."""
        return self._first(torch.searchsorted(-self.values, -threshold.to(self.values), side="right"))

    def above(self, threshold: Tensor) -> tuple[Tensor, Tensor]:
        """How many pixels have more than each threshold, and how many of them lie in the region."""
        return self._first(torch.searchsorted(-self.values, -threshold.to(self.values)))

    def largest(self, k: int) -> Tensor:
        """The k-th largest value, k from 1."""
        return self.values[torch.searchsorted(self.size, float(k))]

    def expected_hits(self, k: int) -> float:
        """How many of the k highest pixels lie in the region: the mean over all orders of those that tie.

        So a map that is the same everywhere hits by the region's share of the picture, and one with too few values
        that are not zero fills the rest by chance.
        """
        at = int(torch.searchsorted(self.size, float(k)))
        size, hits = (float(self.size[at - 1]), float(self.hits[at - 1])) if at else (0.0, 0.0)
        share = (float(self.hits[at]) - hits) / (float(self.size[at]) - size)
        return hits + (k - size) * share

    def _first(self, count: Tensor) -> tuple[Tensor, Tensor]:
        start = self.size.new_zeros(1)
        return torch.cat([start, self.size])[count], torch.cat([start, self.hits])[count]


def levels(support: Tensor, mask: Tensor) -> Levels:
    """The levels of ``support`` for the bool ``mask``, both of any one shape."""
    values, order = support.flatten().sort(descending=True)
    inside = mask.flatten()[order].double().cumsum(0)
    last = torch.cat([values[1:] != values[:-1], torch.ones(1, dtype=torch.bool)])  # of each group of ties
    return Levels(values[last], (torch.nonzero(last).flatten() + 1).double(), inside[last])
