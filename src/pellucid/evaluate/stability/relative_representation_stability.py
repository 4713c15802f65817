"""Relative representation stability: the map's relative change per relative change inside the model.

``max over draws of ‖(A − A') / A‖ / max(‖(L − L') / L‖, ε)``. ``L`` is the input of the model's head, the last linear
or convolutional module to run, found by running it, or the output of a layer that is named; see
:mod:`~pellucid.evaluate.stability.relative` for the copies and for small values. At least 0, lower is better. Source:
agarwal2022rethinking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pellucid.evaluate.stability.relative import RelativeStability, relative
from pellucid.evaluate.view import View


@dataclass(frozen=True, kw_only=True)
class RelativeRepresentationStability(RelativeStability):
    """Largest relative change of the map per relative change of a representation inside the model.

    Attributes:
        layer: whose output it is, by its name in the model; the input of the model's head if None.
    """

    name = "relative_representation_stability"
    question = "stability"
    direction = "lower"
    low = 0.0
    needs = ("model", "explainer")
    source = "agarwal2022rethinking"
    layer: str | None = None

    def changes(self, view: View) -> Sequence[float]:
        """Norm of the relative change of the representation."""
        clean, *others = view.evidence.representations(self.layer, self.noise, self.draws)
        return [float(relative(other, clean, self.floor).norm()) for other in others]
