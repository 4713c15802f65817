"""Which pixels go to which token: read off gradients, made whole, and seen as a grid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

DIGIT = 256  # tokens are numbered in digits to this base, one backward pass for each
CLEAN = 0.02  # how far a digit that is read may be from a whole number


def channels(grad: Tensor | None, holder: Tensor, *, image: bool) -> Tensor:
    """A gradient as ``(channels, places)``: pixels, columns of a table, or rows of a parameter."""
    g = torch.zeros_like(holder) if grad is None else grad
    if not image:
        return g.reshape(-1, g.shape[-1]).T
    return g[0].flatten(1) if g.ndim > 2 else g


def decode(parts: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The token of each place, the strength of its gradient, and whether it is one token's alone."""
    ones, coded = parts[0], parts[1:]
    power = (ones * ones).sum(0)
    strong = power > 1e-9 * power.max()
    safe = torch.where(strong, power, torch.ones_like(power))
    label = torch.zeros_like(power, dtype=torch.int64)
    clear = strong
    for k, part in enumerate(coded):
        value = (part * ones).sum(0) / safe
        digit = value.round()
        off = ((part - digit * ones) ** 2).sum(0) / safe
        clear = clear & (off < CLEAN**2) & (digit >= 0) & (digit < DIGIT)
        label += digit.nan_to_num(0, 0, 0).clamp(0, DIGIT).long() * DIGIT**k
    return label, power, clear


def pieces(place: Tensor) -> dict[int, tuple[int, ...]]:
    """Token to the box that it covers, ``(starts, stops)``; in a table to its columns."""
    found: dict[int, tuple[int, ...]] = {}
    if place.ndim == 1:
        for token in place[place >= 0].unique().tolist():
            found[token] = tuple((place == token).nonzero()[:, 0].tolist())
        return found
    at = (place >= 0).nonzero()
    tokens, inverse = place[place >= 0].unique(return_inverse=True)
    low, high = boxes(at, inverse, len(tokens))
    for token, a, b in zip(tokens.tolist(), low.tolist(), high.tolist()):
        found[token] = (*a, *b)
    return found


def boxes(at: Tensor, group: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Lowest and highest (exclusive) coordinates ``(count, axes)`` of the points ``at (n, axes)`` of each group."""
    index = group[:, None].expand_as(at)
    low = torch.zeros(count, at.shape[1], dtype=at.dtype).scatter_reduce(0, index, at, "amin", include_self=False)
    high = torch.zeros(count, at.shape[1], dtype=at.dtype).scatter_reduce(0, index, at, "amax", include_self=False)
    return low, high + 1


def even(shape: Sequence[int], grid: Sequence[int], before: int) -> Tensor:
    """The token of each pixel for patches of a grid that divides the picture evenly, after ``before`` others."""
    at = [(torch.arange(s) * g) // s for s, g in zip(shape, grid)]
    steps = [prod(grid[i + 1 :]) for i in range(len(grid))]
    index = torch.zeros((), dtype=torch.int64)
    for axis, (a, step) in enumerate(zip(at, steps)):
        index = index + (a * step).view(-1, *[1] * (len(shape) - 1 - axis))
    return index + before


def stretched(place: Tensor, shape: Sequence[int]) -> Tensor:
    """The token of each pixel by that of each place of a coarser grid, which covers the picture evenly."""
    for axis, length in enumerate(shape):
        at = (torch.arange(length) * place.shape[axis]) // length
        place = place.index_select(axis, at)
    return place


def whole(place: Tensor) -> Tensor:
    """The places with the pixels filled in whose gradient was too small, where the patches make a grid."""
    found = tiles(place)
    if found is None:
        return place
    grid, covered = found
    for axis, (length, cells) in enumerate(zip(covered, grid.shape)):
        grid = grid.repeat_interleave(length // cells, axis)
    place = place.clone()
    place[tuple(slice(c) for c in covered)] = grid
    return place


def tiles(place: Tensor) -> tuple[Tensor, list[int]] | None:
    """The tokens of a place map as a regular grid ``(*grid)``, and the pixels that it covers along each axis.

    None where the patches do not make one: of several sizes, or in several places.
    """
    at = (place >= 0).nonzero()
    tokens, inverse = place[place >= 0].unique(return_inverse=True)
    low, high = boxes(at, inverse, len(tokens))
    cell = []
    shape = []
    for axis in range(place.ndim):
        starts, where = low[:, axis].unique(return_inverse=True)
        sizes = {b - a for a, b in pairwise(starts.tolist())} | set((high - low)[:, axis].tolist())
        if int(starts[0]) != 0 or len(sizes) > 1:
            return None
        cell.append(where)
        shape.append(len(starts))
    if prod(shape) != len(tokens):
        return None
    grid = torch.full(shape, -1, dtype=torch.int64)
    grid[tuple(cell)] = tokens
    return (grid, high.amax(0).tolist()) if bool((grid >= 0).all()) else None
