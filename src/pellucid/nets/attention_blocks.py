"""Tokens of pictures and tables, and the attention between them."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WAVES = 4


class Block(nn.Module):
    """Attention to the tokens themselves, or to others, and two linear layers; residual, norms first."""

    def __init__(self, width: int, heads: int, *, other: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.other_norm = nn.LayerNorm(width) if other else None
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """``(B, N, D)`` tokens, and those ``(B, M, D)`` that they look at."""
        mine = self.norm(x)
        seen = mine if other is None or self.other_norm is None else self.other_norm(other)
        q, (k, v) = self.query(mine), self.key_value(seen).chunk(2, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp(x)


class Columns(nn.Module):
    """A table as tokens, one for each column: its value times a vector of its own, and another one."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.randn(features, width) / width**0.5)
        self.base = nn.Parameter(torch.randn(features, width) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, F)`` to ``(B, F, D)``."""
        return x[..., None] * self.slope + self.base


class Places(nn.Module):
    """A map of features as tokens, one for each place: its features, projected, and waves of its coordinates.

    The map may have any size.

    Args:
        channels: of the map.
        spatial_dims: 2 or 3.
        width: of a token.
    """

    def __init__(self, channels: int, spatial_dims: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, width)
        self.place = nn.Linear(2 * WAVES * spatial_dims, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, *grid)`` to ``(B, N, D)``."""
        return self.project(x.flatten(2).transpose(1, 2)) + self.place(waves(x.shape[2:], x))


def waves(grid: Sequence[int], like: Tensor) -> Tensor:
    """Sines and cosines of the coordinates of a grid's places, ``(N, 2 · WAVES · axes)``, of the type of ``like``."""
    axes = [(torch.arange(s, device=like.device, dtype=like.dtype) + 0.5) / s for s in grid]
    at = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
    angle = (at[..., None] * pi * 2.0 ** torch.arange(WAVES, device=like.device, dtype=like.dtype)).flatten(1)
    return torch.cat([angle.sin(), angle.cos()], dim=1)
