"""Guided backpropagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pellucid.core.explainer import Explainer, Result, require
from pellucid.engine.calls import see_through
from pellucid.engine.guided import Guided
from pellucid.engine.problem import Problem

OTHERWISE = (
    "under guided backpropagation: a function that it replaces gives another output here, and another model would be "
    "explained; use saliency"
)


@dataclass(frozen=True, kw_only=True)
class GuidedBackprop(Explainer):
    """The gradient, of which every ReLU passes the positive part alone, where its input is positive.

    For a table per standard deviation of the column, so that its unit does not matter. The rule is put on functions
    as they are called: functional, reused and in-place activations are guided too. A model without any activation to
    guide gets its plain gradient and the flag ``unguided``; ``notes`` hold how many calls were ``guided`` and the names
    of the rectifiers that were ``not_guided``.

    It draws edges of the picture more than reasons of the model: with all weights above redrawn at random, the map
    hardly changes (adebayo2018sanity; nie2018theoretical proves it for random networks). Read the verdict ``sane``.

    Budget: 1 forward, 1 backward per target. Source: springenberg2015striving.

    Attributes:
        activations: ``"relu"`` guides what is zero below zero; ``"all"`` also leaky ReLU, PReLU, ELU, GELU, SiLU and
            their kind, by the positive part of the gradient at positive inputs.
    """

    name = "guided_backprop"
    family = "gradient"
    source = "springenberg2015striving"
    passes = "1 F, T B"
    activations: Literal["relu", "all"] = "relu"

    def __post_init__(self) -> None:
        """Check the options."""
        require(
            self.activations in ("relu", "all"), f"activations={self.activations!r}: choose 'relu' or 'all'"
        )

    def attribute(self, problem: Problem) -> Result:
        """The guided gradient."""
        see_through(problem.engine.module, self.name)
        modes: list[Guided] = []

        def rule() -> Guided:
            modes.append(Guided(smooth=self.activations == "all"))
            return modes[-1]

        found = problem.engine.gradients(problem.clean, problem.objective, rule=rule)
        problem.prove(found.scores, (self.name, self.activations), otherwise=OTHERWISE)
        problem.learn(found.scores)
        notes = {"guided": modes[-1].guided, "not_guided": sorted(modes[-1].others)}
        return Result(
            problem.per_sd(found.sums), notes=notes, flags=() if modes[-1].guided else ("unguided",)
        )
