"""Which pixels count: those of more than a share of the map's largest magnitude."""

from __future__ import annotations

from torch import Tensor

from pellucid.errors import UsageError
from pellucid.evaluate.undefined import Undefined


def scaled(values: Tensor) -> Tensor:
    """A vector's magnitudes as shares of the largest, in [0, 1].

    Raises:
        Undefined: all are zero.
    """
    a = values.abs().double()
    top = a.max()
    if not float(top) > 0:
        raise Undefined("the map is zero everywhere")
    return a / top


def checked(option: str, value: float) -> None:
    """Refuse a threshold that no pixel, or every pixel, is above."""
    if not 0 <= value < 1:
        raise UsageError(f"{option}={value}: give a share of the map's largest magnitude, from 0 up to but not 1")
