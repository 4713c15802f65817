"""Attention rollout."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.explainer import Result
from pellucid.engine.problem import Problem
from pellucid.engine.tokens import Site
from pellucid.explain.attention.base import Rollout
from pellucid.explain.attention.caught import (
    Heads,
    asking,
    back,
    catch,
    fuse,
    maps_of,
    within,
)


@dataclass(frozen=True, kw_only=True)
class AttentionRollout(Rollout):
    """``Π_l (A_l + I)``, rows renormalised: the share of each first token in the class token at the end.

    Only the row that is asked for is carried, from the last attention to the first, so that windows need no matrix of
    all tokens. A token that takes no part in an attention passes unchanged. Where patches are merged, a merged token's
    share is divided equally between its parts.

    Budget: 1 forward. Source: abnar2020quantifying.

    Attributes:
        heads: ``"mean"``, ``"max"``, or the number of a head.
    """

    name = "attention_rollout"
    source = "abnar2020quantifying"
    heads: Heads = "mean"

    def attribute(self, problem: Problem) -> Result:
        """Carry the row back."""
        got = catch(problem, gradients=False, grid=self.grid, prefix=self.prefix)
        chosen = within(got.layout, self.start, self.stop)
        start, words = asking(got.layout, self.query)
        device, dtype = problem.engine.device, problem.engine.dtype
        row = start.to(device, dtype).repeat(len(problem), 1)

        def step(site: Site, number: int) -> None:
            if number in chosen:
                roll(row, site, fuse(got.matrices[site.name], self.heads, site.name))

        back(got.layout, row, step)
        values = row[:, None].expand(-1, len(problem.targets), -1)
        maps = maps_of(problem, values, got.layout.first)
        return self.result(maps, got.layout, chosen, words)


def roll(row: Tensor, site: Site, matrix: Tensor) -> None:
    """``row ← row (A + I) / Σ_j (A + I)``, in place: ``(B, count)`` by the matrices ``(B, W, N, M)`` of a site."""
    rows, columns = site.rows.ids.to(row.device), site.columns.ids.to(row.device)
    held = row[:, rows]
    kept = held / (1 + matrix.sum(3))
    row.index_add_(1, rows.flatten(), (kept - held).flatten(1))
    row.index_add_(1, columns.flatten(), torch.einsum("bwn,bwnm->bwm", kept, matrix).flatten(1))
