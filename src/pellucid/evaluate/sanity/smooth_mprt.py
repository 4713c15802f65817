"""Smooth model parameter randomisation test: as ``mprt``, with maps that are means over noisy copies of the case.

Gradients of deep networks are noisy, and the noise alone makes two maps unlike: a method then passes because it is
noisy. So each map, of the model and of every randomised one, is the mean of the maps of the same ``samples`` copies of
the case under normal noise of sd ``noise`` × (max − min), class and region kept. In [−1, 1], lower is better. Source:
hedstrom2023sanity; Quantus 0.6 takes 50 copies by default, leaves one of them without noise, draws new noise for every
layer, and explains by functions of its own whatever function it is given.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch

from pellucid.core.attribution import Attribution
from pellucid.errors import UsageError
from pellucid.evaluate.evidence import Evidence
from pellucid.evaluate.sanity.layerwise import Layerwise
from pellucid.evaluate.shared.cascade import Remake, Step


def mean_map(maps: list[Attribution]) -> Attribution:
    """The mean of several maps of one case, pixel by pixel."""
    mean = {name: torch.stack([a.maps[name] for a in maps]).mean(0, dtype=torch.double) for name in maps[0].maps}
    return maps[0].replace(maps={name: m.float() for name, m in mean.items()})


@dataclass(frozen=True, kw_only=True)
class SmoothMPRT(Layerwise):
    """The layer-by-layer randomisation test on maps that are averaged over noisy copies of the case."""

    name = "smooth_mprt"
    source = "hedstrom2023sanity"
    samples: int = 10
    noise: float = 0.1

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.samples < 1 or not self.noise > 0:
            raise UsageError(f"smooth_mprt: samples={self.samples}, noise={self.noise}; give 1 or more, and above 0")

    def remaker(self, evidence: Evidence) -> tuple[Hashable, Remake]:
        """The mean map of the noisy copies."""
        copies = evidence.copies_of("normal", self.noise, self.samples, "smooth")
        what = ("smooth", self.samples, self.noise)

        def remake(place: int, step: Step | None) -> Attribution:
            engine = evidence.engine if step is None else step.engine
            return mean_map(evidence.explained(place, engine, copies))

        return what, remake
