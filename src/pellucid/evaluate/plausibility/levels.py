"""A map as a detector: what it finds as its threshold falls, with ties treated right."""

from __future__ import annotations

import torch
from torch import Tensor


def levels(support: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The L distinct values of ``support`` from the highest, and what has at least that value.

    Args:
        support: of any shape.
        mask: bool, of the same shape.

    Returns:
        ``values (L,)``; ``size (L,)``, the pixels with at least this value; ``hits (L,)``, those of them in the mask.
        Pixels that tie come in together, so that no order among them is made up.
    """
    values, order = support.flatten().sort(descending=True)
    inside = mask.flatten()[order].double().cumsum(0)
    last = torch.cat([values[1:] != values[:-1], torch.ones(1, dtype=torch.bool)])  # of each group of ties
    return values[last], (torch.nonzero(last).flatten() + 1).double(), inside[last]


def expected_hits(support: Tensor, mask: Tensor, k: int) -> float:
    """How many of the k highest pixels lie in the mask: the mean over all orders of those that tie.

    So a map that is the same everywhere hits by the mask's share of the picture, and one with too few values that are
    not zero fills the rest by chance.

    Args:
        support: of any shape, with at least k elements.
        mask: bool, of the same shape.
        k: at least 1.
    """
    values, flat = support.flatten(), mask.flatten()
    limit = values.topk(k).values[-1]
    above, tied = values > limit, values == limit
    share = float((flat & tied).sum()) / float(tied.sum())
    return float((flat & above).sum()) + (k - int(above.sum())) * share
