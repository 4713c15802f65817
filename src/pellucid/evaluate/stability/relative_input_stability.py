"""Relative input stability: the map's relative change per relative change of the input.

``max over draws of ‖(A − A') / A‖ / max(‖(x − x') / x‖, ε)``, over all values of all inputs, pictures and tables; see
:mod:`~pellucid.evaluate.stability.relative` for the copies and for small values. At least 0, lower is better. Source:
agarwal2022rethinking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pellucid.evaluate.stability.relative import RelativeStability, relative
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class RelativeInputStability(RelativeStability):
    """Largest relative change of the map per relative change of the input."""

    name = "relative_input_stability"
    question = "stability"
    direction = "lower"
    low = 0.0
    needs = ("model", "explainer")
    source = "agarwal2022rethinking"

    def changes(self, view: View) -> Sequence[float]:
        """Norm of the relative change of all inputs."""
        e = view.evidence
        found = []
        for copy in e.jittered_copies(self.noise, self.draws):
            pairs = [(copy.inputs[k].double(), e.case.inputs[k].double()) for k in e.engine.predictor.inputs]
            found.append(sum(float(relative(new, old, self.floor).square().sum()) for new, old in pairs) ** 0.5)
        return found
