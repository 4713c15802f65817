"""What metrics of uniform noise have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.metric import Metric
from pellucid.evaluate.evidence import JITTER, JITTERS
from pellucid.evaluate.maths import vector
from pellucid.evaluate.stability.noise import check_noise
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


def relative_changes(clean: Tensor, others: Sequence[Tensor]) -> Tensor:
    """``(n,)`` ``‖A − A'‖ / ‖A‖`` of other maps from a map, all as vectors.

    Raises:
        Undefined: the map is zero.
    """
    size = clean.abs().max()
    if size == 0:
        raise Undefined("the map is zero everywhere, so no change is relative to it")
    # Scaled first, so that squares of tiny maps do not vanish.
    return torch.stack([((other - clean) / size).norm() for other in others]) / (clean / size).norm()


@dataclass(frozen=True, kw_only=True)
class UnderJitter(Metric):
    """Compares a map with those of copies under ``U[−noise, noise] · range``, class and region kept.

    Attributes:
        noise: largest change, as a share of a picture's range and of a column's sd.
        draws: copies.
    """

    noise: float = JITTER
    draws: int = JITTERS

    def __post_init__(self) -> None:
        """Check the options."""
        check_noise(self.noise, self.draws)

    def jittered(self, view: View) -> list[Tensor]:
        """The maps of the copies, as vectors."""
        return [vector(a) for a in view.under_jitter(noise=self.noise, draws=self.draws)]
