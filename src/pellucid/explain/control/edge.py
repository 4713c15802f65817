"""The edge control."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result
from pellucid.engine.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Edge(Explainer):
    """The picture's own edges (Sobel magnitude), the model not asked; of a table, each column's distance from its
    mean in standard deviations. Edges look like an explanation, which is why they are a control.

    Budget: none beyond ``f(x)``. Source: adebayo2018sanity.
    """

    name = "edge"
    family = "control"
    passes = "1 F"
    targeted = False
    source = "adebayo2018sanity"
    signed = False
    needs = ()

    def attribute(self, problem: Problem) -> Result:
        """Sobel magnitude, the same for every target."""
        problem.bind()
        maps = {}
        for name, x in problem.inputs.items():
            if x.ndim == 2:
                m = ((x - problem.predictor.reference(name, x)) / problem.predictor.unit(name, x)).abs()
            else:
                m = sobel(x).sum(1)
            maps[name] = m[:, None].expand(-1, len(problem.targets), *m.shape[1:]).clone()
        return Result(maps)


def sobel(x: Tensor) -> Tensor:
    """Sobel gradient magnitude of ``(B, C, *spatial)``, borders replicated."""
    total = torch.zeros_like(x)
    axes = range(2, x.ndim)
    for along in axes:
        d = _slide(x, along, (-0.5, 0.0, 0.5))
        for across in axes:
            if across != along:
                d = _slide(d, across, (0.25, 0.5, 0.25))
        total = total + d * d
    return total.sqrt()


def _slide(x: Tensor, dim: int, kernel: tuple[float, float, float]) -> Tensor:
    n = x.shape[dim]
    before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, n - 1)], dim)
    after = torch.cat([x.narrow(dim, 1, n - 1), x.narrow(dim, n - 1, 1)], dim)
    return kernel[0] * before + kernel[1] * x + kernel[2] * after
