"""Input × gradient."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.core.explainer import Explainer, Result
from pellucid.engine.linear import Linear
from pellucid.engine.problem import Problem


@dataclass(frozen=True, kw_only=True)
class InputXGradient(Explainer):
    """``x ∘ ∂y/∂x``; for a table ``(x − mean) ∘ ∂y/∂x``, so that a column's unit does not matter.

    Budget: 1 forward, 1 backward per target. Exact for a linear model. Source: shrikumar2016not.
    """

    name = "input_x_gradient"
    family = "gradient"
    passes = "1 F, T B"
    source = "shrikumar2016not"

    def attribute(self, problem: Problem) -> Result:
        """The product."""
        maps = {}
        for name, g in problem.gradient.sums.items():
            x = problem.inputs[name]
            if x.ndim == 2:
                x = x - problem.predictor.reference(name, x)
            maps[name] = x[:, None] * g
        return Result(maps)

    def linear(self, problem: Problem) -> Linear | None:
        """The same of planes."""
        if problem.tables:
            return None

        def finish(name: str, grad: Tensor, start: int, stop: int) -> Tensor:
            return problem.inputs[name][0, :, start:stop].to(grad.device) * grad

        return Linear(finish=finish)

    def direction(self, problem: Problem) -> dict[str, Tensor] | None:
        """The input itself."""
        return dict(problem.inputs)
