"""Which channels of a layer a method looks at that pays a pass for each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.core.explainer import require
from pellucid.engine.layers import Layer

Channels = int | Literal["all"]


def check(channels: Channels) -> None:
    """Raise UsageError unless the option makes sense."""
    number = isinstance(channels, int) and not isinstance(channels, bool) and channels >= 1
    require(channels == "all" or number, f"channels={channels!r}: give 'all', or how many of a layer's channels")


def pick(strength: Tensor, channels: Channels) -> list[Tensor]:
    """Places of the strongest channels of each case, in the layer's order; those without any strength are left out.

    Args:
        strength: ``(B, C)``, what makes a channel worth a pass.
        channels: how many at most.
    """
    rows = []
    for row in strength.cpu():
        there = row.nonzero()[:, 0]
        if channels != "all" and len(there) > channels:
            there = row.topk(channels).indices.sort().values
        rows.append(there)
    return rows


def spread(a: Tensor) -> Tensor:
    """``(B, C, …)`` to ``(B, C)``: how much a channel varies over the grid; 0 where it is constant but for rounding."""
    flat = a.flatten(2)
    width = flat.amax(2) - flat.amin(2)
    return torch.where(width > 1e-6 * flat.abs().amax(2), width, 0)


def energy(a: Tensor) -> Tensor:
    """``(B, C, …)`` to ``(B, C)``: the mean square of a channel."""
    return a.flatten(2).square().mean(2)


def notes(chosen: dict[str, Layer], channels: Channels) -> dict[str, Any]:
    """A line for each input whose channels were not all looked at."""
    left = {
        k: f"{channels} of {x.channels}" for k, x in chosen.items() if channels != "all" and channels < x.channels
    }
    return {"channels": left} if left else {}


def items(
    chosen: dict[str, Layer], acts: dict[str, Tensor], strength: Callable[[Tensor], Tensor], channels: Channels
) -> list[tuple[str, int, int]]:
    """``(input, case, channel)`` of every pass, input by input."""
    return [
        (k, b, int(c))
        for k, x in chosen.items()
        for b, row in enumerate(pick(strength(acts[x.name]), channels))
        for c in row
    ]


def weigh(
    chosen: dict[str, Layer], acts: dict[str, Tensor], todo: list[tuple[str, int, int]], values: Tensor
) -> dict[str, Tensor]:
    """``Σ_k w_k A_k`` of each input, ``(B, T, *grid)``, from the weights ``(n, T)`` of the passes; 0 of all others."""
    maps = {}
    for name, layer in chosen.items():
        a = acts[layer.name]
        w = values.new_zeros((*a.shape[:2], values.shape[1]))
        mine = [i for i, (k, _, _) in enumerate(todo) if k == name]
        w[[todo[i][1] for i in mine], [todo[i][2] for i in mine]] = values[mine]
        maps[name] = torch.einsum("bct,bcn->btn", w, a.flatten(2)).unflatten(2, layer.grid)
    return maps
