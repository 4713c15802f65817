"""Where a map is "on"."""

from __future__ import annotations

from torch import Tensor

from pellucid.errors import UsageError


def above(support: Tensor, share: float) -> Tensor:
    """The pixels with at least ``share`` of the map's maximum, bool."""
    return support >= share * support.max()


def check(share: float) -> None:
    """Raise UsageError unless ``share`` is one of the maximum."""
    if not 0 < share <= 1:
        raise UsageError(f"at={share}: give a share of the map's maximum, above 0 and up to 1")
