"""Expected gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.core.fill import Fill, as_fill
from pellucid.engine.problem import Problem
from pellucid.explain.gradient.paths import Paths, relative_gap


@dataclass(frozen=True, kw_only=True)
class ExpectedGradients(Explainer):
    """Integrated gradients, averaged over all background cases: ``mean_x' (x − x') ∘ ∫₀¹ ∂y/∂x (x' + α(x − x')) dα``.

    Every background case is used, each as often as the others or by its weight
    (:class:`~pellucid.core.background.Background`), and the nodes are refined until the map adds up to
    ``f(x) − mean f(x')`` within ``tolerance`` and has settled, as in integrated gradients; ``gradient_shap`` draws
    baselines and places at random, for a fixed number of gradients, and adds up on average only. The source draws too:
    this is the integral that it estimates. With one background case this is integrated gradients from that case; where
    no background is given, from the fill. Nodes of different paths are shifted against each other, so that many paths
    need few nodes each. ``notes`` hold the baselines, the nodes over all of them, and the error.

    Budget: 1 forward, one for each of R baselines, one gradient for each of N nodes. Source: erion2021improving.

    Attributes:
        baseline: the fill, where no background is given; tables start from their training mean then.
        tolerance: of the relative completeness error.
        settle: of the relative change of the map.
        most: largest number of nodes over all paths that the refinement may reach.
        n_steps: fixed number of nodes on each path, in place of the adaptive ones.
    """

    name = "expected_gradients"
    family = "gradient"
    source = "erion2021improving"
    complete = "exact"
    passes = "1 + R + N F, N*T B"
    baseline: Any = "zero"
    tolerance: float = 0.01
    settle: float = 0.05
    most: int = 1944
    n_steps: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "baseline", as_fill(self.baseline))
        require(self.tolerance > 0, f"tolerance={self.tolerance}: give a positive share, such as 0.01")
        require(self.settle > 0, f"settle={self.settle}: give a positive share, such as 0.05")
        require(self.most >= 24, f"most={self.most}: give 24 or more, so that two levels can be compared")
        require(self.n_steps is None or self.n_steps >= 1, f"n_steps={self.n_steps}: give 1 or more")

    def attribute(self, problem: Problem) -> Result:
        """The mean of the path integrals."""
        assert isinstance(self.baseline, Fill)
        paths = Paths.of(problem, self.baseline, background=True)
        expected = paths.change()
        flags: dict[str, Tensor] = {}
        if self.n_steps is not None:
            maps, used = paths.fixed(self.n_steps), torch.full((len(problem),), self.n_steps * paths.count)
        else:
            maps, used, flags["unsettled"] = paths.refined(
                expected, tolerance=self.tolerance, settle=self.settle, most=self.most
            )
        notes = {
            "baselines": len(problem.background) or 1, "nodes": used[:, None].expand_as(expected),
            "completeness_error": relative_gap(maps, expected),
        }  # fmt: skip
        return Result(maps, expected, notes, flags)
