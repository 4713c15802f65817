"""Integrated gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.core.fill import Fill, as_fill
from pellucid.engine.linear import Copies, Linear
from pellucid.engine.problem import Problem
from pellucid.explain.gradient.paths import FIRST, Paths, relative_gap


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(Explainer):
    """``(x − x') ∘ ∫₀¹ ∂y/∂x (x' + α(x − x')) dα``.

    By default the nodes are nested midpoints (8, 24, 72, 216, 648; each level keeps all nodes of the one before) and
    are refined until the relative completeness error is under ``tolerance`` **and** the map has settled (it changed by
    under ``settle`` in L1 from one level to the next): a small error at few nodes can be luck. ``notes`` hold the
    nodes used and the error; a map that misses the tolerance at the last level is flagged ``incomplete``, one that has
    not settled there ``unsettled``. Midpoints lie nearer to the integral than Gauss–Legendre nodes on networks of every
    kind that was measured (docs/explanation-integrated-gradients.md).

    Budget: 2 forwards for both ends, one gradient per node. Source: sundararajan2017axiomatic.

    Attributes:
        baseline: what the path starts from (a Fill); tables start from their training mean.
        tolerance: of the relative completeness error.
        settle: of the relative change of the map.
        most: largest number of nodes that the refinement may reach.
        n_steps: fixed number of nodes, in place of the adaptive ones.
        rule: quadrature for fixed nodes: ``"midpoint"``, ``"gauss_legendre"`` or ``"trapezoid"``. All weights sum
            to 1.
    """

    name = "integrated_gradients"
    family = "gradient"
    source = "sundararajan2017axiomatic"
    complete = "exact"
    passes = "2 + N F, N*T B"
    baseline: Any = "zero"
    tolerance: float = 0.01
    settle: float = 0.05
    most: int = 648
    n_steps: int | None = None
    rule: Literal["midpoint", "gauss_legendre", "trapezoid"] = "midpoint"

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "baseline", as_fill(self.baseline))
        require(self.settle > 0, f"settle={self.settle}: give a positive share of the map")
        require(self.tolerance > 0, f"tolerance={self.tolerance}: give a positive share, such as 0.01")
        least = 3 * FIRST
        require(self.most >= least, f"most={self.most}: give {least} or more, so that two levels can be compared")
        require(self.n_steps is None or self.n_steps >= 1, f"n_steps={self.n_steps}: give 1 or more")
        require(
            self.rule in ("midpoint", "gauss_legendre", "trapezoid"),
            f"unknown rule {self.rule!r}; choose midpoint, gauss_legendre or trapezoid",
        )
        require(
            self.rule != "trapezoid" or self.n_steps is None or self.n_steps >= 2,
            "the trapezoid rule needs both ends: n_steps of 2 or more",
        )

    def attribute(self, problem: Problem) -> Result:
        """The path integral, times the path."""
        assert isinstance(self.baseline, Fill)
        paths = Paths.of(problem, self.baseline, background=False)
        expected = paths.change()
        flags: dict[str, Tensor] = {}
        if self.n_steps is not None:
            nodes, weights = quadrature(self.rule, self.n_steps)
            maps = paths.integral(torch.arange(len(problem)), nodes[None], weights)
            used = torch.full((len(problem),), self.n_steps)
        else:
            maps, used, flags["unsettled"] = paths.refined(
                expected, tolerance=self.tolerance, settle=self.settle, most=self.most
            )
        notes = {"nodes": used[:, None].expand_as(expected), "completeness_error": relative_gap(maps, expected)}
        return Result(maps, expected, notes, flags)

    def linear(self, problem: Problem) -> Linear | None:
        """The same of planes, for a fixed number of nodes."""
        if problem.tables or self.n_steps is None:
            return None
        assert isinstance(self.baseline, Fill)
        starts, inputs = problem.fill(self.baseline), problem.inputs
        nodes, weights = quadrature(self.rule, self.n_steps)

        def make(start: int, stop: int, copy: int) -> dict[str, Tensor]:
            a = nodes[copy].item()
            ends = {k: (starts[k][:, :, start:stop], v[:, :, start:stop]) for k, v in inputs.items()}
            return {k: s + a * (x - s) for k, (s, x) in ends.items()}

        def finish(name: str, grad: Tensor, start: int, stop: int) -> Tensor:
            path = inputs[name][0, :, start:stop] - starts[name][0, :, start:stop]
            return path.to(grad.device) * grad

        return Linear(
            finish=finish, copies=Copies(count=self.n_steps, make=make, weight=lambda copy: float(weights[copy]))
        )


def quadrature(rule: str, count: int) -> tuple[Tensor, Tensor]:
    """Nodes in [0, 1] and weights that sum to 1."""
    if rule == "gauss_legendre":
        x, w = np.polynomial.legendre.leggauss(count)
        return torch.tensor((x + 1) / 2), torch.tensor(w / 2)
    if rule == "trapezoid":
        w = np.full(count, 1 / (count - 1))
        w[[0, -1]] /= 2
        return torch.linspace(0, 1, count, dtype=torch.float64), torch.tensor(w)
    return (torch.arange(count, dtype=torch.float64) * 2 + 1) / (2 * count), torch.full(
        (count,), 1 / count, dtype=torch.float64
    )
