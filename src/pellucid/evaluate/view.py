"""One map of the evidence, as a metric sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.core.case import Case
from pellucid.core.metric import Metric, Score
from pellucid.core.refiner import is_masked
from pellucid.evaluate import maths
from pellucid.evaluate.shared.curves import Curves
from pellucid.evaluate.shared.levels import Levels, levels
from pellucid.evaluate.shared.plan import Plan
from pellucid.evaluate.shared.subsets import Subsets
from pellucid.evaluate.undefined import Undefined

if TYPE_CHECKING:
    from pellucid.evaluate.evidence import Evidence


@dataclass(frozen=True, eq=False)
class View:
    """One map and what is known about it. A property that does not exist raises Undefined, with the reason.

    Attributes:
        evidence: of the case.
        place: of the map in it.
        region_name: of the region to compare with, where it is not the evidence's.
        whole: whether a masked map is seen as it was before it was masked.
    """

    evidence: Evidence
    place: int
    region_name: str | None = None
    whole: bool = False

    @property
    def case(self) -> Case:
        """The case that was explained."""
        return self.evidence.case

    @property
    def attribution(self) -> Attribution:
        """The map."""
        a = self.evidence.maps[self.place]
        return a.replace(maps=dict((a.refinement or {})["unmasked"])) if self.whole and is_masked(a) else a

    @property
    def unmasked(self) -> View:
        """The same map before a mask hid a part of it; itself if none did."""
        return self._before if is_masked(self.attribution) and not self.whole else self

    @cached_property
    def _before(self) -> View:  # kept apart: a view that held itself would outlive the case
        return View(self.evidence, self.place, self.region_name, whole=True)

    def at(self, region: str | None) -> View:
        """The same map beside another region; None leaves it as it is."""
        return self if region is None else View(self.evidence, self.place, region, self.whole)

    def spatial(self, name: str) -> Tensor:
        """The map of one picture, channels summed."""
        return self.attribution.spatial(name)

    @cached_property
    def heat(self) -> dict[str, Tensor]:
        """Every image map, channels summed, float64."""
        maths.check_fits(self.attribution, self.case)
        return maths.heat(self.attribution)

    @cached_property
    def vector(self) -> Tensor:
        """All image maps as one float64 vector (the tables' where there are no images)."""
        maths.check_fits(self.attribution, self.case)
        return maths.vector(self.attribution)

    @cached_property
    def mask(self) -> Tensor:
        """The region, bool ``(*spatial)``; with at least one pixel inside and one outside."""
        case, name = self.case, self.region_name or self.evidence.region
        if name == "target" and name not in case.regions:
            name = str(self.attribution.target["label"])
        if name == "truth" and name not in case.regions:
            if not isinstance(case.truth, Tensor) or case.truth.ndim < 2:
                raise Undefined("the case has no true mask")
            label = self.evidence.engine.predictor.label_of(self.evidence.target(self.place).index)
            mask = case.truth == label
        elif name not in case.regions:
            raise Undefined(f"the case has no region {name!r}")
        else:
            mask = case.region(name)
        if not mask.any():
            raise Undefined(f"region {name!r} is empty in this case")
        if mask.all():
            raise Undefined(f"region {name!r} is the whole picture")
        return mask

    @property
    def region(self) -> Tensor | None:
        """The region's mask, or None; :attr:`region_reason` says why."""
        try:
            return self.mask
        except Undefined:
            return None

    @property
    def region_reason(self) -> str:
        """Why there is no region; empty if there is one."""
        try:
            _ = self.mask
        except Undefined as reason:
            return str(reason)
        return ""

    @cached_property
    def support(self) -> Tensor:
        """What plausibility looks at: the positive parts of all image maps, added up, ``(*spatial)``.

        A person marks where the finding is, which is evidence for it; negative values speak against and are no
        part of that. Images on another grid than the region are left out, as no pixel of theirs is in it.
        """
        shape = self.mask.shape
        parts = [m.clamp(min=0) for m in self.heat.values() if m.shape == shape]
        if not parts:
            raise Undefined(f"no map is on the region's grid {tuple(shape)}")
        total = torch.stack(parts).sum(0)
        if not float(total.max()) > 0:
            raise Undefined("the map has no positive value")
        return total

    @cached_property
    def levels(self) -> Levels:
        """What the positive part finds of the region as a threshold falls: one sort for all that read it."""
        return levels(self.support, self.mask)

    @property
    def curves(self) -> Curves:
        """Deletion and insertion."""
        return self.ranked()

    def ranked(self, plan: Plan | None = None) -> Curves:
        """Deletion and insertion by another plan: other units, fill or steps."""
        found = self.evidence.ranked(plan)[self.place]
        if isinstance(found, Undefined):
            raise found.bare()
        return found

    @property
    def modalities(self) -> Subsets:
        """The model with every subset of its inputs."""
        return self.evidence.modalities(self.place)

    @property
    def noisy(self) -> list[Attribution]:
        """The maps of slightly noisy copies."""
        return self.evidence.noisy(self.place)

    def under_noise(self, *, noise: float | None = None, draws: int | None = None) -> list[Attribution]:
        """The maps of copies under other normal noise than the evidence's."""
        return self.evidence.noisy(self.place, noise=noise, draws=draws)

    @property
    def jittered(self) -> list[Attribution]:
        """The maps of copies under uniform noise."""
        return self.evidence.jittered(self.place)

    def under_jitter(self, *, noise: float, draws: int) -> list[Attribution]:
        """The maps of copies under other uniform noise."""
        return self.evidence.jittered(self.place, noise=noise, draws=draws)

    @property
    def randomised(self) -> Attribution:
        """The map of a model with random weights."""
        return self.evidence.randomised(self.place)

    def scores(self, metrics: Sequence[Metric]) -> dict[str, Score]:
        """The metrics of this map: ``name``, or ``name[input]`` where there is one number per input."""
        from pellucid.evaluate.run import labels

        found: dict[str, Score] = {}
        for label, metric in zip(labels(metrics), metrics):
            score = self._one(metric)
            if isinstance(score, dict):
                found |= {f"{label}[{name}]": s for name, s in score.items()}
            else:
                found[label] = score
        return found

    def _one(self, metric: Metric) -> Score | dict[str, Score]:
        # Certainty is how the map meets a mask: a map that was cut to the mask would be certain by construction.
        seen = self.unmasked if metric.question == "certainty" else self
        try:
            return metric.score(seen)
        except Undefined as reason:
            nothing = Score.undefined(str(reason))
        names = self.evidence.engine.predictor.inputs
        return dict.fromkeys(names, nothing) if metric.per_input else nothing
