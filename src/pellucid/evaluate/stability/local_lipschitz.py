"""Local Lipschitz estimate: how fast the map changes with the input, at its fastest.

``max over draws of (‖A(x) − A(x')‖ / ‖A(x)‖) / ‖x − x'‖``, ``x'`` the copies of max-sensitivity, class and region kept.
``x`` is measured in units of each picture's range and of each column's sd, so that inputs and studies compare, and the
map relative to its own size, so that methods do. At least 0, lower is better. Source: alvarezmelis2018robustness, who
take neither unit and search the ball for its worst point, where this draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.metric import Score
from pellucid.evaluate.stability.jitter import UnderJitter, relative_changes
from pellucid.evaluate.view import View


def local_lipschitz(clean: Tensor, others: Sequence[Tensor], distances: Sequence[float]) -> float:
    """The largest relative change of a map, per distance of the input.

    Raises:
        Undefined: the map is zero.
    """
    return float((relative_changes(clean, others) / torch.tensor(distances, dtype=torch.double)).max())


@dataclass(frozen=True, kw_only=True)
class LocalLipschitz(UnderJitter):
    """Largest relative change of the map per change of the input."""

    name = "local_lipschitz"
    question = "stability"
    direction = "lower"
    low = 0.0
    needs = ("explainer",)
    source = "alvarezmelis2018robustness"

    def score(self, view: View) -> Score:
        """The largest quotient over the draws."""
        clean, others = view.vector, self.jittered(view)
        return Score(local_lipschitz(clean, others, view.evidence.distances(self.noise, self.draws)))
