"""MSFI, modality-specific feature importance: does the map mark the finding in the pictures that matter?

``Σ_m φ_m · (Σ_{v ∈ M_m} A_m⁺(v) / Σ_v A_m⁺(v)) / Σ_m φ_m`` over the pictures ``m``: the share of each picture's map
that lies in the region, weighted with the picture's exact Shapley value, negative ones counted as 0 (a regression, in
which nothing speaks for or against, takes ``|φ_m|``). In [0, 1], higher is better; a map that lies in the region scores
1, a flat one the region's share of the picture. The regions may differ between pictures: of the region ``lesion``,
``lesion:flair`` is what shows in ``flair``. A picture without positive evidence counts as none in the region; tables
have no region and no part in it. Source: jin2022evaluating, who measure φ by the accuracy over a cohort and bring it to
[0, 1]; here it is that of the case's own answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View


def msfi(maps: dict[str, Tensor], masks: dict[str, Tensor], worth: dict[str, float]) -> float:
    """The weighted mean of the shares inside.

    Args:
        maps: of every picture, channels summed, ``(*spatial)``.
        masks: the bool region in each.
        worth: of every picture; negative counts as 0.

    Raises:
        Undefined: no picture is worth anything, or the map has no positive value in any.
    """
    weights = {name: max(worth[name], 0.0) for name in maps}
    total = sum(weights.values())
    if not total > 0:
        raise Undefined("no picture speaks for the answer, so there is nothing to weigh with")
    found, seen = 0.0, False
    for name, a in maps.items():
        positive = a.double().clamp(min=0)
        whole = float(positive.sum())
        seen = seen or whole > 0
        if whole > 0:
            found += weights[name] * float(positive[masks[name]].sum()) / whole
    if not seen:
        raise Undefined("the map has no positive value")
    return min(found / total, 1.0)


@dataclass(frozen=True, kw_only=True)
class Msfi(Metric):
    """Share of the pictures' maps that lies in the region, weighted with what each picture is worth to the model.

    Attributes:
        region: of the case, in place of the one that all metrics compare with.
    """

    name = "msfi"
    question = "modality"
    low, high = 0.0, 1.0
    needs = ("region", "model", "inputs")
    source = "jin2022evaluating"
    region: str | None = None

    def score(self, view: View) -> Score:
        """The weighted share."""
        seen = view.at(self.region)
        name, case, heat = seen.region_name or seen.evidence.region, view.case, view.heat
        pictures = [i for i in view.evidence.engine.predictor.inputs if i in case.images]
        masks = {i: (seen.at(f"{name}:{i}") if f"{name}:{i}" in case.regions else seen).mask for i in pictures}
        missing = [i for i in pictures if i not in heat]
        if missing:
            raise Undefined(f"{view.attribution.method} makes no map for {', '.join(map(repr, missing))}")
        other = [i for i in pictures if heat[i].shape != masks[i].shape]
        if other:
            raise Undefined(f"the region is not on the grid of {', '.join(map(repr, other))}")
        worth = view.modalities.shapley()
        if view.evidence.engine.predictor.task == "regression":
            worth = {i: abs(v) for i, v in worth.items()}
        return Score(msfi({i: heat[i] for i in pictures}, masks, worth))
