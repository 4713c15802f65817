"""Relative output stability: the map's relative change per change of the model's answer.

``max over draws of ‖(A − A') / A‖ / max(‖h(x) − h(x')‖, ε)`` with the logits ``h`` of all classes (the scores of a
regression, the logits of all voxels of a segmentation); see :mod:`~pellucid.evaluate.stability.relative` for the copies
and for small values. At least 0, lower is better. Source: agarwal2022rethinking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pellucid.evaluate.stability.relative import RelativeStability
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class RelativeOutputStability(RelativeStability):
    """Largest relative change of the map per change of the model's outputs."""

    name = "relative_output_stability"
    question = "stability"
    direction = "lower"
    low = 0.0
    needs = ("model", "explainer")
    source = "agarwal2022rethinking"

    def changes(self, view: View) -> Sequence[float]:
        """Norm of the change of the outputs."""
        outputs = view.evidence.answers(self.noise, self.draws).outputs
        return [float(v) for v in (outputs[1:] - outputs[0]).norm(dim=1)]
