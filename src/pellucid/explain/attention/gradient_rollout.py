"""Gradient-weighted rollout."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pellucid.core.explainer import Result
from pellucid.engine.problem import Problem
from pellucid.engine.tokens import Site
from pellucid.explain.attention.base import Rollout
from pellucid.explain.attention.caught import (
    asking,
    back,
    catch,
    maps_of,
    within,
)


@dataclass(frozen=True, kw_only=True)
class GradientRollout(Rollout):
    """``Π_l (I + Ā_l) − I`` with ``Ā = mean_h (∂y/∂A ∘ A)⁺``: what the class token took, where it spoke for the target.

    The row of the class token, or the mean of the rows. The identity, what a token keeps of itself, is not shown: for
    a class token's row it is zero on the input anyway. Attention between inputs adds up as that within one does (the
    source treats it so within one sequence, and normalises it between two).

    Budget: 1 forward, 1 backward per target down to the first attention. Source: chefer2021generic.
    """

    name = "gradient_rollout"
    source = "chefer2021generic"
    needs = ("attention", "gradient")
    targeted = True
    passes = "1 F, T B"

    def attribute(self, problem: Problem) -> Result:
        """Carry the row back, what it gained beside the identity."""
        got = catch(problem, gradients=True, grid=self.grid, prefix=self.prefix)
        chosen = within(got.layout, self.start, self.stop)
        start, words = asking(got.layout, self.query)
        device, dtype = problem.engine.device, problem.engine.dtype
        count, targets = len(problem), len(problem.targets)
        # the identity's part and what was gained are carried apart: their difference would be rounded
        own = start.to(device, dtype).repeat(count, targets, 1)
        both = torch.stack([own, torch.zeros_like(own)])

        def step(site: Site, number: int) -> None:
            if number not in chosen:
                return
            rows, columns = site.rows.ids.to(device), site.columns.ids.to(device)
            matrix, grad = got.matrices[site.name], got.gradients[site.name]
            weighed = (grad * matrix[:, None]).clamp(min=0).mean(3)
            gained = torch.einsum("btwn,btwnm->btwm", both.sum(0)[..., rows], weighed)
            both[1].index_add_(2, columns.flatten(), gained.flatten(2))

        back(got.layout, both, step)
        return self.result(maps_of(problem, both[1], got.layout.first), got.layout, chosen, words)
