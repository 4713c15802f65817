"""Attention between inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.explainer import Result, require
from pellucid.engine.problem import Problem
from pellucid.engine.tokens import Side, Site
from pellucid.errors import UsageError, nearest
from pellucid.explain.attention.base import OfTokens
from pellucid.explain.attention.caught import Caught, Heads, catch, fuse, grids, maps_of


@dataclass(frozen=True, kw_only=True)
class CrossAttention(OfTokens):
    """How much each token of one input was asked by the tokens of the others: the mean over those that ask.

    In a cross-attention these are all rows; in an attention over one sequence of all inputs, the block of the matrix
    between them. The mean over all attentions where that happens. A class token belongs to no input and does not ask.

    Budget: 1 forward. Source: chen2021multimodal.

    Attributes:
        asking: name of the only input whose tokens ask; all others by default. Its own map is then zero.
        at: with ``asking``, the one token that asks: a pixel ``(row, column, …)`` of the picture, whose token it is,
            or the number of a column of the table.
        layer: which of the attentions in which an input is asked by another; the mean of all by default.
        heads: ``"mean"``, ``"max"``, or the number of a head.
    """

    name = "cross_attention"
    source = "chen2021multimodal"
    needs = ("attention", "several_inputs")
    asking: str | None = None
    at: int | tuple[int, ...] | None = None
    layer: int | None = None
    heads: Heads = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.at is not None:
            object.__setattr__(self, "at", (self.at,) if isinstance(self.at, int) else tuple(self.at))
        require(self.at is None or self.asking is not None, f"at={self.at}: say of which input with asking='…'")

    def attribute(self, problem: Problem) -> Result:
        """The mean of the rows of the other inputs."""
        name = problem.predictor.name
        if self.asking is not None and self.asking not in problem.inputs:
            raise UsageError(f"asking={self.asking!r}: no such input; {nearest(self.asking, problem.inputs)}")
        got = catch(problem, gradients=False, grid=self.grid, prefix=self.prefix)
        if len(problem.inputs) < 2:
            raise UsageError(f"cross_attention needs several inputs that attend to each other; {name} has one")
        maps: dict[str, Tensor] = {}
        notes: dict[str, Any] = {}
        for asked, x in problem.inputs.items():
            every = [(s, self._rows(s, asked)) for s in got.layout.sites if _own(s.columns, asked).any()]
            sites = [(s, rows) for s, rows in every if rows.any()]
            notes[asked] = [s.name for s, _ in sites]
            if sites and self.layer is not None:
                if not -len(sites) <= self.layer < len(sites):
                    raise UsageError(
                        f"layer={self.layer}: input {asked!r} is asked by others in {len(sites)} attentions, numbered "
                        f"0 to {len(sites) - 1}"
                    )
                sites = [sites[self.layer]]
            found = [self._map(problem, got, s, rows, asked) for s, rows in sites]
            shape = x.shape[2:] if x.ndim > 2 else x.shape[1:]
            maps[asked] = sum(found[1:], found[0]) / len(found) if found else x.new_zeros(
                (len(problem), len(problem.targets), *shape)
            )
        if not any(notes.values()):
            raise UsageError(
                f"{name} never attends between its inputs: in none of its attentions "
                f"({', '.join(s.name for s in got.layout.sites[:4])} …) does a token of one ask one of another"
                + (f", as asking={self.asking!r} wants" if self.asking else "")
            )
        unasked = [k for k, v in notes.items() if not v]
        return Result(
            maps, notes={"attentions": notes, "not_asked": unasked, "grid": grids(got.layout.first)}
        )  # fmt: skip

    def _rows(self, site: Site, asked: str) -> Tensor:
        """Which rows ``(W, N)`` belong to other inputs, and may ask."""
        rows = torch.zeros(site.rows.ids.shape, dtype=torch.bool)
        for name, place in site.rows.places.items():
            if name == asked or (self.asking is not None and name != self.asking):
                continue
            ids = place[place >= 0] if self.at is None else place[self._pixel(name, place)].flatten()
            rows |= torch.isin(site.rows.ids, ids)
        return rows & ~_own(site.rows, asked, alone=False)

    def _pixel(self, name: str, place: Tensor) -> tuple[int, ...]:
        at = self.at
        assert isinstance(at, tuple)
        if len(at) != place.ndim or not all(0 <= i < s for i, s in zip(at, place.shape)):
            raise UsageError(f"at={at}: input {name!r} has shape {tuple(place.shape)}, places counted from 0")
        return at

    def _map(self, problem: Problem, got: Caught, site: Site, rows: Tensor, asked: str) -> Tensor:
        matrix = fuse(got.matrices[site.name], self.heads, site.name)
        weight = rows.to(matrix) / rows.sum()
        received = (weight[..., None] * matrix).sum(2) * _own(site.columns, asked).to(matrix)
        values = matrix.new_zeros(len(matrix), got.layout.count)
        values.index_add_(1, site.columns.ids.flatten().to(matrix.device), received.flatten(1))
        values = values[:, None].expand(-1, len(problem.targets), -1)
        shown = {asked: site.columns.places[asked]}
        return next(iter(maps_of(problem, values, shown).values()))


def _own(side: Side, name: str, *, alone: bool = True) -> Tensor:
    """Which tokens ``(W, N)`` stand for parts of an input; ``alone``: and of no other."""
    if name not in side.places:
        return torch.zeros(side.ids.shape, dtype=torch.bool)
    mine = torch.isin(side.ids, side.places[name])
    for other, place in side.places.items():
        if alone and other != name:
            mine &= ~torch.isin(side.ids, place)
    return mine
