"""Model parameter randomisation test: how alike the map stays as the network is randomised layer by layer.

After each layer the same method explains the same class and region again, and the two maps are compared by Spearman's
ρ of their magnitudes over the pixels at which one of them is more than 1 % of its maximum. The number is the mean over
the layers, in [−1, 1], lower is better; its parts are the curve by layer. Every parameter is drawn as in
``parameter_randomisation``, whose value is the last one of a cascade. Source: adebayo2018sanity.

Quantus 0.6 goes by the order in which layers were registered, resets the statistics of batch norm, draws the same
numbers for all layers of one shape (it sets the seed before each), and counts the comparison of the untouched model
with itself, which is 1, into its mean over the layers.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from pellucid.core.attribution import Attribution
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.sanity.layerwise import Layerwise
from pellucid.evaluate.shared.cascade import Remake, Step


@dataclass(frozen=True, kw_only=True)
class MPRT(Layerwise):
    """Similarity of the map with those of the model randomised layer by layer, mean over the layers."""

    name = "mprt"
    source = "adebayo2018sanity"

    def remaker(self, evidence: Evidence) -> tuple[Hashable, Remake]:
        """The map of the case."""

        def remake(place: int, step: Step | None) -> Attribution:
            if step is None:
                return evidence.maps[place]
            if step.whole:
                return evidence.randomised(place)
            return evidence.explained(place, step.engine, [evidence.case])[0]

        return "map", remake
