"""DeepLIFT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pellucid.core.explainer import Explainer, Result
from pellucid.core.fill import Fill, as_fill
from pellucid.engine.calls import see_through
from pellucid.engine.problem import Problem
from pellucid.engine.rules import Rescale
from pellucid.explain.gradient.paths import Paths


@dataclass(frozen=True, kw_only=True)
class DeepLift(Explainer):
    """The rescale rule: the change in output, handed back through ``Δout / Δin`` of every non-linearity.

    The rule is put on functions as they are called, so that functional, reused and in-place activations are seen.
    What it cannot divide exactly (products of two activations, normalisation by the input's own statistics) shows in
    the completeness error, and the map is flagged ``incomplete``; a scripted, traced or compiled part hides its
    functions and is refused. That the output is the same under the rule is checked while it runs.

    Budget: 2 forwards, 1 backward per target. Source: shrikumar2017learning.

    Attributes:
        baseline: the reference input (a Fill); tables have their training mean.
    """

    name = "deeplift"
    family = "gradient"
    source = "shrikumar2017learning"
    complete = "exact"
    passes = "2 F, T B"
    baseline: Any = "zero"

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "baseline", as_fill(self.baseline))

    def attribute(self, problem: Problem) -> Result:
        """Multipliers times the difference from the reference."""
        assert isinstance(self.baseline, Fill)
        return divided(Paths.of(problem, self.baseline, background=False), self.name)


def divided(paths: Paths, name: str) -> Result:
    """The change in output, divided under the rescale rule and averaged over the baselines that the paths start from.

    Raises:
        UsageError: a part of the model is compiled, so that its functions cannot be seen.
        ModelError: the model's output depends on what is beside a case.
    """
    see_through(paths.problem.engine.module, name)
    return Result(*paths.problem.multipliers(paths.starts, paths.which, Rescale, paths.share))
