"""Where a map is "on"."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.errors import UsageError
from pellucid.evaluate.plausibility.regional import ByPlace


def above(support: Tensor, share: float) -> Tensor:
    """The pixels with at least ``share`` of the map's maximum, bool."""
    return support >= share * support.max()


def check(share: float) -> None:
    """Raise UsageError unless ``share`` is one of the maximum."""
    if not 0 < share <= 1:
        raise UsageError(f"at={share}: give a share of the map's maximum, above 0 and up to 1")


@dataclass(frozen=True, kw_only=True)
class Thresholded(ByPlace):
    """An overlap of the region with the pixels that have at least a share of the map's maximum.

    Attributes:
        at: the threshold, as a share of the maximum.
    """

    at: float = 0.5

    def __post_init__(self) -> None:
        """Check the options."""
        check(self.at)
