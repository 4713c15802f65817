"""Integrated gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.core.fill import Fill, as_fill
from pellucid.engine.problem import Problem

FIRST = 8


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(Explainer):
    """``(x − x') ∘ ∫₀¹ ∂y/∂x (x' + α(x − x')) dα``.

    By default the nodes are nested midpoints (8, 24, 72, 216, 648; each level keeps all nodes of the one before) and
    are refined until the relative completeness error is under ``tolerance`` **and** the map has settled (it changed by
    under ``settle`` in L1 from one level to the next): a small error at few nodes can be luck. ``notes`` hold the
    nodes used and the error; a map that misses the tolerance at the last level is flagged ``incomplete``.

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
        base = problem.fill(self.baseline)
        expected = problem.scores - problem.score_of(base)
        step = {k: (v - base[k])[:, None] for k, v in problem.inputs.items()}
        if self.n_steps is not None:
            nodes, weights = quadrature(self.rule, self.n_steps)
            everyone = torch.arange(len(problem))
            mean = _path_sums(problem, base, everyone, nodes, weights)
            maps = {k: step[k] * g for k, g in mean.items()}
            used = torch.full((len(problem),), self.n_steps)
        else:
            maps, used = self._adaptive(problem, base, step, expected)
        error = _relative_gap(maps, expected)
        nodes_used = used[:, None].expand_as(expected)
        return Result(maps, expected, {"nodes": nodes_used, "completeness_error": error})

    def _adaptive(
        self, problem: Problem, base: dict[str, Tensor], step: dict[str, Tensor], expected: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        active = torch.arange(len(problem))
        used = torch.zeros(len(problem), dtype=torch.int64)
        total: dict[str, Tensor] = {}
        maps: dict[str, Tensor] = {}
        for level, count in enumerate(levels(self.most)):
            index = np.arange(count)
            fresh = index if level == 0 else index[index % 3 != 1]  # the old midpoints are every third new one
            nodes = torch.tensor((2 * fresh + 1) / (2 * count))
            sums = _path_sums(problem, base, active, nodes, torch.ones(len(nodes)))
            at = active.to(problem.engine.device)
            new = {}
            for name, s in sums.items():
                total[name] = total.get(name, torch.zeros_like(s)) + s
                new[name] = step[name] * total[name] / count
            used[active] = count
            if level == 0:
                maps = new
                continue
            change = _change({k: v[at] for k, v in new.items()}, {k: v[at] for k, v in maps.items()})
            error = _relative_gap({k: v[at] for k, v in new.items()}, expected[at])
            for name, value in new.items():  # a case that has settled keeps its map
                maps[name] = maps[name].index_copy(0, at, value[at])
            done = ((error <= self.tolerance) & (change <= self.settle)).all(1)
            active = active[~done.cpu()]
            if not len(active):
                break
        return maps, used


def levels(most: int) -> list[int]:
    """Numbers of nested midpoints: 8, tripled as long as they stay within ``most``."""
    found = [FIRST]
    while found[-1] * 3 <= most:
        found.append(found[-1] * 3)
    return found


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


def _path_sums(
    problem: Problem, base: dict[str, Tensor], active: Tensor, nodes: Tensor, weights: Tensor
) -> dict[str, Tensor]:
    """Weighted sums of the gradients at the nodes, ``(B, T, *shape)``; zero for cases that are not active."""
    owner = active.repeat_interleave(len(nodes))
    alpha = nodes.repeat(len(active)).to(problem.engine.device, problem.engine.dtype)

    def make(index: Tensor) -> dict[str, Tensor]:
        at = owner[index].to(problem.engine.device)
        a = alpha[index.to(alpha.device)]
        return {
            k: base[k][at] + a.view(-1, *[1] * (v.ndim - 1)) * (v[at] - base[k][at])
            for k, v in problem.inputs.items()
        }

    stream = problem.stream(owner, make)
    return problem.engine.gradients(stream, problem.objective, weights=weights.repeat(len(active))).sums


def _relative_gap(maps: dict[str, Tensor], expected: Tensor) -> Tensor:
    """``|ΣA − expected| / |expected|``, ``(B, T)``; no smaller denominator than 1e-6."""
    total = sum(m.flatten(2).sum(2) for m in maps.values())
    return (total - expected).abs() / expected.abs().clamp(min=1e-6)


def _change(new: dict[str, Tensor], old: dict[str, Tensor]) -> Tensor:
    """Relative L1 change of the maps, ``(B, T)``."""
    moved = sum((new[k] - old[k]).flatten(2).abs().sum(2) for k in new)
    size = sum(new[k].flatten(2).abs().sum(2) for k in new)
    return torch.as_tensor(moved) / torch.as_tensor(size).clamp(min=1e-12)
