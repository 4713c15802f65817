"""A picture and a table, fused late: the workshop's classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.nets.layers import layers
from pellucid.nets.registry import NETWORKS


@NETWORKS.register("image_tabular")
class ImageTabular(nn.Module):
    """Two convolutions for the picture, two linear layers for the table, one hidden layer over both.

    45,442 parameters with the defaults, as the workshop's network (ALGORITHMS.md, 9).

    Args:
        features: columns of the table.
        classes: outputs.
        in_channels: channels of the picture.
        spatial_dims: 2 or 3.
    """

    def __init__(
        self, *, features: int = 12, classes: int = 2, in_channels: int = 1, spatial_dims: int = 2
    ) -> None:
        super().__init__()
        of = layers(spatial_dims)
        self.image = nn.Sequential(
            of.conv(in_channels, 16, 3, padding=1), nn.ReLU(), of.max_pool(2),
            of.conv(16, 32, 3, padding=1), nn.ReLU(), of.max_pool(2),
            of.adaptive_pool(4), nn.Flatten(), nn.Linear(32 * 4**spatial_dims, 64), nn.ReLU(),
        )  # fmt: skip
        self.table = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        """``(B, C, *spatial)`` and ``(B, F)`` to logits ``(B, K)``."""
        return self.head(torch.cat([self.image(image), self.table(table)], dim=1))
