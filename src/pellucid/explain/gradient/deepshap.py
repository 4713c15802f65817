"""DeepSHAP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pellucid.core.explainer import Explainer, Result
from pellucid.core.fill import Fill, as_fill
from pellucid.engine.problem import Problem
from pellucid.explain.gradient.deeplift import divided
from pellucid.explain.gradient.paths import Paths


@dataclass(frozen=True, kw_only=True)
class DeepShap(Explainer):
    """DeepLIFT's maps (rescale rule), averaged over the background cases: they add up to ``f(x) − mean f(x')``.

    A :class:`~pellucid.core.background.Background` with weights gives weighted means.

    An estimate of Shapley values which takes the model as linear between a case and each background case. With one
    background case it is DeepLIFT with that baseline; where no background is given, DeepLIFT with the fill. What
    DeepLIFT cannot divide shows in the completeness error, and the map is flagged ``incomplete``.

    Budget: 2 forwards for each of the R baselines, 1 backward per baseline and target. Source: lundberg2017unified.

    Attributes:
        baseline: the fill, where no background is given; tables have their training mean then.
    """

    name = "deepshap"
    family = "gradient"
    source = "lundberg2017unified"
    complete = "exact"
    passes = "2*R F, R*T B"
    baseline: Any = "zero"

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "baseline", as_fill(self.baseline))

    def attribute(self, problem: Problem) -> Result:
        """The mean of the maps from every background case."""
        assert isinstance(self.baseline, Fill)
        result = divided(Paths.of(problem, self.baseline, background=True), self.name)
        result.notes["baselines"] = len(problem.background) or 1
        return result
