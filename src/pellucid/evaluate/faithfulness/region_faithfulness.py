"""Region faithfulness: do the regions that hold more of the map matter more to the model?

Each region r of the case (every label of a label map counts as one) is filled, one at a time; Pearson's r of
``|f(x) − f(x without r)|`` with the region's mass ``Σ_r |A| / Σ |A|``, or, signed, of ``f(x) − f(x without r)`` with
``Σ_r A``. In [−1, 1], higher is better. The parts are the case's regions, each with its mass and its drop. Large
regions hold more of any map and matter more: compare with the control ``random``. A case with fewer than three regions
has no such correlation; superpixels (about 64 of each picture) take their place unless ``by="regions"``. Ours, for the
table of classes and regions; what is taken away is as in zeiler2014visualizing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.metric import Metric, Score
from pellucid.errors import UsageError, nearest
from pellucid.evaluate.of_units import agreement, values
from pellucid.evaluate.shared.alone import alone, without_regions
from pellucid.evaluate.shared.plan import Plan, unit_sums
from pellucid.evaluate.undefined import Undefined
from pellucid.evaluate.view import View

WAYS, MEASURES, LEAST = ("auto", "regions"), ("mass", "signed"), 3


@dataclass(frozen=True, kw_only=True)
class RegionFaithfulness(Metric):
    """Pearson r, over the case's regions, of the map's mass with the change in the answer without each of them.

    Attributes:
        by: ``"auto"``, the case's regions where there are three or more and superpixels otherwise; ``"regions"``,
            the case's regions alone.
        regions: which of the case's; all if empty.
        measure: ``"mass"``, magnitudes on both sides; ``"signed"``, sums and drops.
    """

    name = "region_faithfulness"
    question = "faithfulness"
    low, high = -1.0, 1.0
    needs = ("model",)
    source = "zeiler2014visualizing"
    by: Literal["auto", "regions"] = "auto"
    regions: tuple[str, ...] = ()
    measure: Literal["mass", "signed"] = "mass"

    def __post_init__(self) -> None:
        """Check the options."""
        for option, value, known in (("by", self.by, WAYS), ("measure", self.measure, MEASURES)):
            if value not in known:
                raise UsageError(f"{option}={value!r}: {nearest(str(value), known)}")
        if isinstance(self.regions, str) or not isinstance(self.regions, Sequence):
            raise UsageError(f"regions={self.regions!r}: give a list of names of regions")
        object.__setattr__(self, "regions", tuple(str(name) for name in self.regions))

    def score(self, view: View) -> Score:
        """The correlation over the regions; the parts are the masses and drops of those that have a name."""
        evidence, mine = view.evidence, values(view)
        column = evidence.column(view.place)
        weight = mine.abs() if self.measure == "mass" else mine
        total = float(mine.abs().sum())
        if not total > 0:
            raise Undefined("the map is zero everywhere, so no region has more of it")
        names, sums, scores = self._parts(view, weight / total)
        whole = float(evidence.ends()[0, column])
        drops = whole - scores[:, column]
        if self.measure == "mass":
            drops = drops.abs()
        parts = tuple(zip(names, sums.tolist(), drops.tolist()))
        return Score(agreement(sums, drops, whole), parts=parts)

    def _parts(self, view: View, weight: Tensor) -> tuple[list[str], Tensor, Tensor]:
        evidence, case = view.evidence, view.case
        missing = [name for name in self.regions if name not in case.regions]
        if missing:
            raise Undefined(f"the case has no region {', '.join(map(repr, missing))}")
        wanted = self.regions or tuple(case.regions)
        if _count(view, wanted) >= LEAST:
            names, places, scores = without_regions(evidence, wanted)
            return names, torch.stack([weight[p].sum() for p in places]), scores
        if self.by == "regions":
            raise Undefined(f"a correlation needs {LEAST} regions, the case has {_count(view, wanted)}")
        units, scores = alone(evidence, Plan(by="superpixels"))
        if len(scores) < LEAST:
            raise Undefined(f"a correlation needs {LEAST} regions, the pictures have {len(scores)} superpixels")
        return [], unit_sums(weight, units), scores


def _count(view: View, names: Sequence[str]) -> int:
    """How many regions, labels counted, without a pass."""
    return view.evidence.once(
        ("region count", *names), lambda: sum(len(view.case.regions[n].unique().nonzero()) for n in names)
    )
