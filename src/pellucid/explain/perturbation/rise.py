"""RISE."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from pellucid.core.explainer import Explainer, Result, require
from pellucid.core.fill import as_fill
from pellucid.engine.problem import Problem
from pellucid.errors import UsageError
from pellucid.explain.perturbation.soft_masks import SoftMasks

PER_CELL, LEAST_PER_CELL = 32, 4  # masks per cell: the error of an effect spread evenly is √(cells / masks) of it
_AT_ONCE = 1 << 23  # mask values at a time, when the maps are summed


@dataclass(frozen=True, kw_only=True)
class Rise(Explainer):
    """The mean score where a pixel is kept, less that where it is replaced, over random soft masks ``m``.

    ``Cov(f(x ∘ m + fill ∘ (1 − m)), m) / (p (1 − p))``: a constant model gives exactly zero, and the size of the score
    adds no noise. The original formula, ``E[f m] / p`` (``centred=False``), is on average this map times 1 − p, plus
    the mean score. A picture's values are what about one cell of the grid is worth; every input has masks of its own,
    drawn independently in the same passes, and a table's columns are kept or replaced one by one with the same
    probability: all stand on one scale. Notes: ``evaluations``, ``standard_error`` (root mean square, from the first
    half of the masks beside all), ``relative_error`` (its share of the map's root mean square). Flag: ``uncertain`` if
    that is over one half.

    Budget: 1 + ``samples`` forwards, whatever the number of targets. Source: petsiuk2018rise.

    Attributes:
        samples: masks; 32 for each cell of all grids by default.
        grid: cells along an axis, one number or one per axis; by default 7 (4 in 3-D) along the longest one, the
            cells about as long along each axis in mm, and no shorter than 4 pixels.
        p: probability that a cell is kept.
        centred: whether to take the covariance; else the original formula.
        fill: what stands in for what is not kept (a Fill, in the image's units).
        force: take fewer than 4 masks per cell.
    """

    name = "rise"
    family = "perturbation"
    source = "petsiuk2018rise"
    stochastic = True
    needs = ()
    resolution = "feature"
    passes = "1 + S F"
    samples: int | None = None
    grid: int | tuple[int, ...] | None = None
    p: float = 0.5
    centred: bool = True
    fill: Any = "mean"
    force: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "fill", as_fill(self.fill))
        if isinstance(self.grid, list):
            object.__setattr__(self, "grid", tuple(self.grid))
        require(0 < self.p < 1, f"p={self.p}: give a probability between 0 and 1, both excluded")
        require(self.samples is None or self.samples >= 4, f"samples={self.samples}: give 4 or more")
        sides = self.grid if isinstance(self.grid, tuple) else (self.grid,)
        require(all(g is None or g >= 1 for g in sides), f"grid={self.grid}: give 1 cell or more")

    def attribute(self, problem: Problem) -> Result:
        """Draw, score, and weigh the masks by their scores."""
        masks = [self._draw(problem, b) for b in range(len(problem))]
        counts = torch.tensor([len(next(iter(m.values()))) for m in masks])
        owner = torch.arange(len(problem)).repeat_interleave(counts)
        copy = torch.cat([torch.arange(int(n)) for n in counts])
        fill = problem.fill(self.fill)

        def make(index: Tensor) -> dict[str, Tensor]:
            at, which = owner[index], copy[index]
            items = {}
            for name, x in problem.inputs.items():
                m = torch.cat([masks[b][name](which[at == b], x) for b in at.unique().tolist()])
                spot = at.to(x.device)
                items[name] = torch.lerp(fill[name][spot], x[spot], m[:, None] if x.ndim > 2 else m)
            return items

        scores = problem.engine.scores(problem.stream(owner, make), problem.objective)
        maps: dict[str, list[Tensor]] = {k: [] for k in problem.inputs}
        errors, sizes = [], []
        for own, seen, clean in zip(masks, scores.split(counts.tolist()), problem.scores):
            weights = self._weights(seen, clean)
            apart, large = [], []
            for name, x in problem.inputs.items():
                whole, half = _weighed(own[name], weights, x).tensor_split(2)
                maps[name].append(whole)
                apart.append((half - whole).flatten(1).square().mean(1))
                large.append(whole.flatten(1).square().mean(1))
            errors.append(torch.stack(apart).mean(0).sqrt())
            sizes.append(torch.stack(large).mean(0).sqrt())
        error, size = torch.stack(errors), torch.stack(sizes)
        share = torch.where(size > 0, error / size.clamp(min=1e-30), 0.0)
        evaluations = counts[:, None].expand(error.shape)
        return Result(
            {k: torch.stack(v) for k, v in maps.items()},
            notes={"evaluations": evaluations, "standard_error": error, "relative_error": share},
            flags={"uncertain": share > 0.5},
        )

    def _draw(self, problem: Problem, b: int) -> dict[str, SoftMasks]:
        """The masks of one case."""
        shapes = {k: tuple(x.shape[2:]) if x.ndim > 2 else tuple(x.shape[1:]) for k, x in problem.inputs.items()}
        grids = {k: self._grid(problem, b, k) if k in problem.images else () for k in shapes}
        cells = sum(prod(g + 1 for g in grids[k]) if grids[k] else shape[0] for k, shape in shapes.items())
        count = PER_CELL * cells if self.samples is None else self.samples
        if count < LEAST_PER_CELL * cells and not self.force:
            raise UsageError(
                f"case {problem.cases[b].id}: {count} masks for {cells} cells are too few to tell these apart; give "
                f"samples={LEAST_PER_CELL * cells} or more, a coarser grid, or force=True"
            )
        return {
            k: SoftMasks.draw(count, shape, grids[k], self.p, problem.generator(b, f"rise {k}"))
            for k, shape in shapes.items()
        }

    def _grid(self, problem: Problem, b: int, name: str) -> tuple[int, ...]:
        """Cells along each spatial axis of a picture."""
        spatial = tuple(problem.inputs[name].shape[2:])
        if self.grid is None:
            return default_grid(spatial, problem.cases[b].spacing)
        grid = self.grid if isinstance(self.grid, tuple) else (self.grid,) * len(spatial)
        if len(grid) != len(spatial):
            raise UsageError(f"grid={self.grid} has {len(grid)} axes, input {name!r} has {len(spatial)}")
        if any(g > s for g, s in zip(grid, spatial)):
            raise UsageError(
                f"grid {grid} is finer than input {name!r} {spatial}; give at most {min(spatial)} cells along an axis"
            )
        return grid

    def _weights(self, scores: Tensor, clean: Tensor) -> Tensor:
        """What each mask of a case counts in the map, and in that of the first half alone: ``(2T, N)``."""
        count, half = len(scores), len(scores) // 2
        if self.centred:
            drop = (scores - clean).double()  # exactly zero for a constant model
            spread = self.p * (1 - self.p)
            whole = (drop - drop.mean(0)) / ((count - 1) * spread)
            part = (drop[:half] - drop[:half].mean(0)) / ((half - 1) * spread)
        else:
            whole = scores.double() / (count * self.p)
            part = scores[:half].double() / (half * self.p)
        part = torch.nn.functional.pad(part, (0, 0, 0, count - half))
        return torch.cat([whole, part], 1).T.to(scores.dtype)


def _weighed(masks: SoftMasks, weights: Tensor, like: Tensor) -> Tensor:
    """``(2T, *shape)``: the masks of a case, made again chunk by chunk, summed with their weights."""
    total = like.new_zeros((len(weights), *masks.shape))
    for index in torch.arange(len(masks)).split(max(1, _AT_ONCE // prod(masks.shape))):
        m = masks(index, like).flatten(1)
        total += (weights[:, index.to(like.device)] @ m).view_as(total)
    return total


def default_grid(spatial: tuple[int, ...], spacing: tuple[float, ...] | None) -> tuple[int, ...]:
    """Cells along each axis, about as long along each in mm: 7 along the longest (4 in 3-D), none under 4 pixels."""
    mm = spacing if spacing is not None and len(spacing) == len(spatial) else (1.0,) * len(spatial)
    length = [s * d for s, d in zip(spatial, mm)]
    cell = max(length) / (4 if len(spatial) == 3 else 7)
    return tuple(max(1, min(round(n / cell), -(-s // 4))) for n, s in zip(length, spatial))
