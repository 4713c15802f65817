"""Mass in mask: how much of the map lies in the region.

``certainty = Σ(A∘M) / ΣA`` over the positive part of the unmasked map. In [0, 1], higher is more certain; a flat map
scores the region's share of the picture. ``uncertainty = 1 − certainty``, which for a predicted mask is SegX's
discarded mass. Beside a person's region it is ``mass_accuracy``. Source: zhang2025segx.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.evaluate.plausibility.mass_accuracy import mass_accuracy
from pellucid.evaluate.plausibility.regional import ByPlace


@dataclass(frozen=True, kw_only=True)
class MassInMask(ByPlace):
    """Share of the map's positive sum that lies in the region; uncertainty is 1 minus it."""

    name = "mass_in_mask"
    question = "certainty"
    source = "zhang2025segx"

    def value(self, support: Tensor, mask: Tensor) -> float:
        """The certainty."""
        return mass_accuracy(support, mask)
