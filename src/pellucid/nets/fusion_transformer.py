"""Two inputs of one patient, cut into tokens, that attend to themselves, to each other, and to a class token."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from pellucid.errors import UsageError
from pellucid.nets.attention_blocks import WAVES, Block, Columns, waves
from pellucid.nets.layers import layers
from pellucid.nets.registry import NETWORKS


@NETWORKS.register("fusion_transformer")
class FusionTransformer(nn.Module):
    """Self-attention within each input, cross-attention between the two, a class token over both, a linear head.

    A token is a patch of a picture or a column of a table. Places are coded by waves of the patch's coordinates, so
    that a picture may have any size that the patch divides. 46,466 parameters with the defaults.

    Args:
        classes: outputs.
        features: columns of the table, if the second input is one.
        second: what the second input is: ``"table"`` or ``"image"``.
        in_channels: channels of each picture.
        spatial_dims: 2 or 3.
        patch: side of a patch in pixels.
        width: length of a token.
        heads: of every attention.
        depth: self-attentions within each input.
    """

    def __init__(
        self, *, classes: int = 2, features: int = 12, second: Literal["table", "image"] = "table",
        in_channels: int = 1, spatial_dims: int = 2, patch: int = 8, width: int = 32, heads: int = 4, depth: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        if second not in ("table", "image"):
            raise UsageError(f"second={second!r}: choose 'table' or 'image'")
        if width % heads:
            raise UsageError(f"width={width} cannot be divided between {heads} heads")
        table = second == "table"
        self.first = _Patches(in_channels, spatial_dims, patch, width)
        self.second = Columns(features, width) if table else _Patches(in_channels, spatial_dims, patch, width)
        self.first_blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.second_blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.to_first, self.to_second, self.to_class = (Block(width, heads, other=True) for _ in range(3))
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """``(B, C, *spatial)`` and ``(B, F)`` or another picture to logits ``(B, K)``."""
        a, b = self.first(first), self.second(second)
        for block in self.first_blocks:
            a = block(a)
        for block in self.second_blocks:
            b = block(b)
        a, b = self.to_first(a, b), self.to_second(b, a)
        token = self.to_class(self.class_token.expand(len(a), -1, -1), torch.cat([a, b], dim=1))
        return self.head(self.norm(token[:, 0]))


class _Patches(nn.Module):
    """A picture as tokens, one for each patch."""

    def __init__(self, in_channels: int, spatial_dims: int, patch: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.cut = layers(spatial_dims).conv(in_channels, width, patch, stride=patch)
        self.place = nn.Linear(2 * WAVES * spatial_dims, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, *spatial)`` to ``(B, N, D)``."""
        if any(s % self.patch for s in x.shape[2:]):
            raise UsageError(
                f"a picture of {tuple(x.shape[2:])} cannot be cut into patches of {self.patch}; pad or resize it"
            )
        grid = self.cut(x)
        return grid.flatten(2).transpose(1, 2) + self.place(waves(grid.shape[2:], x))
