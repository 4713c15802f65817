"""What the three relative stabilities have in common.

``max over draws of ‖(A − A') / A‖ / max(‖change of something‖, ε)``, over the jittered copies of max-sensitivity whose
predicted class is that of the case; ε is 10⁻⁶ (agarwal2022rethinking).

The paper divides value by value, and an ``A`` or ``x`` of almost nothing then decides alone. Here a value of less than
``floor`` times the largest magnitude of its map (its input, its representation) is divided by that. Quantus guards
exact zeros, with 10⁻⁶: ``floor=1e-6`` comes to the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.metric import Score
from pellucid.errors import UsageError
from pellucid.evaluate.stability.jitter import UnderJitter
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View

EPSILON = 1e-6


def relative(new: Tensor, old: Tensor, floor: float) -> Tensor:
    """``(new − old) / old``, value by value; small values of ``old`` are raised to ``floor · max|old|``.

    Where ``old`` is zero everywhere, to ``floor``.
    """
    top = float(old.abs().max())
    least = floor * (top if top > 0 else 1.0)
    sign = torch.where(old < 0, -1.0, 1.0).to(old)
    return (new - old) / torch.where(old.abs() < least, least * sign, old)


def relative_stability(
    clean: Tensor, others: Sequence[Tensor], changes: Sequence[float], kept: Sequence[bool], floor: float
) -> float:
    """The largest relative change of a map per change of something else, over the copies that are kept.

    Raises:
        Undefined: the map is zero, or no copy is kept.
    """
    if not clean.abs().max() > 0:
        raise Undefined("the map is zero everywhere, so no change is relative to it")
    found = [
        float(relative(other, clean, floor).norm()) / max(change, EPSILON)
        for other, change, stays in zip(others, changes, kept, strict=True) if stays
    ]  # fmt: skip
    if not found:
        raise Undefined(f"the predicted class changes in all {len(others)} noisy copies: there is no neighbour")
    return max(found)


@dataclass(frozen=True, kw_only=True)
class RelativeStability(UnderJitter):
    """Relative change of a map per change of something else.

    Attributes:
        floor: least magnitude that is divided by, as a share of the largest.
    """

    floor: float = 0.01

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if not 0 < self.floor <= 1:
            raise UsageError(f"floor={self.floor}: give a share of the largest magnitude, above 0 and up to 1")

    @abstractmethod
    def changes(self, view: View) -> Sequence[float]:
        """How much something else changes, one number per copy."""

    def score(self, view: View) -> Score:
        """The largest quotient over the copies that are still of the predicted class."""
        clean, others = view.vector, self.jittered(view)
        kept = view.evidence.answers(self.noise, self.draws).kept
        return Score(relative_stability(clean, others, self.changes(view), kept, self.floor))
