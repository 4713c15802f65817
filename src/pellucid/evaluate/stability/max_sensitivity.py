"""Max-sensitivity: the largest change of the map under a small change of the input.

``max over draws of ‖A(x + ε) − A(x)‖ / ‖A(x)‖``, Euclidean norm over all pixels of all images, three draws of
``ε ~ U[−0.1, 0.1] · (max − min)`` (of one sd on tables), class and region kept. At least 0, lower is better. Source:
yeh2019infidelity, with the norm of the clean map in the denominator so that methods of different size compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from pellucid.core.metric import Score
from pellucid.evaluate.stability.jitter import UnderJitter, relative_changes
from pellucid.evaluate.view import View


def max_sensitivity(clean: Tensor, others: Sequence[Tensor]) -> float:
    """The largest relative distance of other maps from a map, all as vectors.

    Raises:
        Undefined: the map is zero.
    """
    return float(relative_changes(clean, others).max())


@dataclass(frozen=True, kw_only=True)
class MaxSensitivity(UnderJitter):
    """Largest relative change of the map over three small random changes of the input."""

    name = "max_sensitivity"
    question = "stability"
    direction = "lower"
    low = 0.0
    needs = ("explainer",)
    source = "yeh2019infidelity"

    def score(self, view: View) -> Score:
        """The largest change over the draws."""
        return Score(max_sensitivity(view.vector, self.jittered(view)))
