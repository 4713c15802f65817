"""DeepLIFT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pellucid.core.explainer import Explainer, Result
from pellucid.core.fill import as_fill
from pellucid.engine.problem import Problem
from pellucid.engine.rules import Rescale


@dataclass(frozen=True, kw_only=True)
class DeepLift(Explainer):
    """The rescale rule: the change in output, handed back through ``Δout / Δin`` of every non-linearity.

    The rule is put on functions as they are called, so that functional, reused and in-place activations are seen.
    What it cannot divide exactly (products of two activations, normalisation by the input's own statistics) shows in
    the completeness error, and the map is flagged ``incomplete``.

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
        base = problem.fill(self.baseline)
        multipliers, change = problem.multipliers(base, Rescale)
        maps = {k: m * (problem.inputs[k] - base[k])[:, None] for k, m in multipliers.items()}
        return Result(maps, change)
