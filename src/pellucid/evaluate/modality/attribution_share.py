"""The share of each input in the map.

``mean|A_i| / Σ_j mean|A_j|`` (``form="mean"``, the multi-modal workshop's), or with sums in place of the means
(``form="sum"``): a mean favours small inputs, a sum large ones, so both are offered. In [0, 1], adding up to 1; no
direction is better. Undefined if the method made no map for one of the inputs. Source: parcalabescu2023mmshap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError, nearest
from pellucid.evaluate.modality.shares import shares
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View

FORMS = ("mean", "sum")


def attribution_share(maps: dict[str, Tensor], form: Literal["mean", "sum"] = "mean") -> dict[str, Score]:
    """Shares of several maps of any shapes.

    Raises:
        Undefined: all are zero.
    """
    sizes = {name: m.double().abs() for name, m in maps.items()}
    return shares({name: float(s.mean() if form == "mean" else s.sum()) for name, s in sizes.items()})


@dataclass(frozen=True, kw_only=True)
class AttributionShare(Metric):
    """Share of each input in the magnitudes of the map.

    Attributes:
        form: ``"mean"`` or ``"sum"`` over the elements of an input.
    """

    name = "attribution_share"
    question = "modality"
    per_input = True
    direction = "none"
    low, high = 0.0, 1.0
    needs = ("inputs",)
    source = "parcalabescu2023mmshap"
    form: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        if self.form not in FORMS:
            raise UsageError(f"form={self.form!r}: {nearest(str(self.form), FORMS)}")

    def score(self, view: View) -> dict[str, Score]:
        """One share per input."""
        a, wanted = view.attribution, view.evidence.engine.predictor.inputs
        if len(wanted) < 2:
            raise Undefined("the model has one input, so there is nothing to share")
        missing = [name for name in wanted if name not in a.maps]
        if missing:
            raise Undefined(f"{a.method} makes no map for {', '.join(map(repr, missing))}")
        _ = view.vector  # refuses maps that are not finite or on another grid
        broken = [name for name in wanted if not torch.isfinite(a.maps[name]).all()]
        if broken:
            raise Undefined(f"the map of {', '.join(map(repr, broken))} has NaN or infinite values")
        return attribution_share({name: a.maps[name] for name in wanted}, self.form)
