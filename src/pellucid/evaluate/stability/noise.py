"""What metrics of slight normal noise have in common."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.core.attribution import Attribution
from pellucid.core.metric import Metric
from pellucid.errors import UsageError
from pellucid.evaluate.view import View


def check_noise(noise: float | None, draws: int | None) -> None:
    """Refuse noise that is none, and no draw."""
    if noise is not None and not noise > 0:
        raise UsageError(f"noise={noise}: give a positive share of the range")
    if draws is not None and draws < 1:
        raise UsageError(f"draws={draws}: give 1 or more")


@dataclass(frozen=True, kw_only=True)
class UnderNoise(Metric):
    """Compares a map with those of copies under ``N(0, (noise · range)²)``, class and region kept.

    Attributes:
        noise: sd, as a share of a picture's range and of a column's sd; that of the thresholds if None.
        draws: copies; those of the thresholds if None.
    """

    noise: float | None = None
    draws: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        check_noise(self.noise, self.draws)

    def noisy(self, view: View) -> list[Attribution]:
        """The maps of the copies."""
        return view.under_noise(noise=self.noise, draws=self.draws)
