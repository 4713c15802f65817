"""Raw attention."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pellucid.core.explainer import Result
from pellucid.engine.problem import Problem
from pellucid.engine.tokens import Layout, Site
from pellucid.errors import UsageError
from pellucid.explain.attention.base import OfTokens
from pellucid.explain.attention.caught import (
    Heads,
    Query,
    catch,
    class_rows,
    fuse,
    grids,
    maps_of,
)


@dataclass(frozen=True, kw_only=True)
class Attention(OfTokens):
    """One attention matrix: the class token's row, or the mean that a token receives where there is no class token.

    For every input the last attention that looks at its tokens. The attention of a self-supervised ViT's heads (the
    DINO way) is this with ``heads=0``, ``1``, …

    Budget: 1 forward. Source: caron2021emerging.

    Attributes:
        layer: which of the attentions that look at an input; −1 is the last.
        heads: ``"mean"``, ``"max"``, or the number of a head.
        query: who asks: ``"class"`` token, ``"mean"`` over all tokens, or ``"auto"``, the class token where there is
            one.
    """

    name = "attention"
    source = "caron2021emerging"
    layer: int = -1
    heads: Heads = "mean"
    query: Query = "auto"

    def attribute(self, problem: Problem) -> Result:
        """The row of the class token, or the mean of the rows."""
        got = catch(problem, gradients=False, grid=self.grid, prefix=self.prefix)
        targets = len(problem.targets)
        maps: dict[str, Tensor] = {}
        names: dict[str, str] = {}
        used: dict[str, Tensor] = {}
        for name in problem.inputs:
            site = self._site(got.layout, name)
            values = self._values(got.layout, site, fuse(got.matrices[site.name], self.heads, site.name))
            place = site.columns.places[name]
            maps |= maps_of(problem, values[:, None].expand(-1, targets, -1), {name: place})
            names[name], used[name] = site.name, place
        return Result(maps, notes={"attention": names, "grid": grids(used), "skipped": got.layout.skipped})

    def _site(self, layout: Layout, name: str) -> Site:
        sites = [s for s in layout.sites if name in s.columns.places]
        if not -len(sites) <= self.layer < len(sites):
            raise UsageError(
                f"layer={self.layer}: {len(sites)} attentions look at input {name!r}, numbered 0 to {len(sites) - 1}"
            )
        return sites[self.layer]

    def _values(self, layout: Layout, site: Site, matrix: Tensor) -> Tensor:
        """``(B, count)``, what each token receives."""
        rows = class_rows(layout, site.rows)
        if self.query == "class" and not len(rows):
            raise UsageError(f"query='class': attention {site.name!r} has no class token; use 'mean'")
        if self.query == "mean" or not len(rows):
            asks = (~layout.free[site.rows.ids]).to(matrix)
            weight = asks / asks.sum().clamp(min=1)
        else:
            weight = matrix.new_zeros(site.rows.ids.shape)
            weight[0, rows] = 1 / len(rows)
        received = (weight[..., None] * matrix).sum(2)
        out = matrix.new_zeros(len(matrix), layout.count)
        return out.index_add_(1, site.columns.ids.flatten().to(out.device), received.flatten(1))
