"""Two pictures of one patient, a stream each: the workshop's regression network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pellucid.nets.layers import layers
from pellucid.nets.registry import NETWORKS


def _stream(in_channels: int, spatial_dims: int) -> nn.Sequential:
    of = layers(spatial_dims)
    return nn.Sequential(
        of.conv(in_channels, 16, 3, padding=1), of.norm(16), nn.ReLU(), of.max_pool(2),
        of.conv(16, 32, 3, padding=1), of.norm(32), nn.ReLU(), of.max_pool(2),
        of.adaptive_pool(1), nn.Flatten(), nn.Linear(32, 64), nn.ReLU(),
    )  # fmt: skip


@NETWORKS.register("two_stream")
class TwoStream(nn.Module):
    """Two batch-normed convolutional streams, averaged over space, and one hidden layer over both.

    22,337 parameters with the defaults. The workshop's code was not at hand: its size is what is reproduced,
    by the plainest arrangement of layers that has it (a stream ends in Linear 32→64, as that of
    ``image_tabular`` in Linear 512→64; then 128→64→1). That is less than "the same network".

    Args:
        outputs: scores.
        in_channels: channels of each picture.
        spatial_dims: 2 or 3.
    """

    def __init__(self, *, outputs: int = 1, in_channels: int = 1, spatial_dims: int = 2) -> None:
        super().__init__()
        self.first = _stream(in_channels, spatial_dims)
        self.second = _stream(in_channels, spatial_dims)
        self.head = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, outputs))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two pictures ``(B, C, *spatial)``, which may differ in size, to scores ``(B, outputs)``."""
        return self.head(torch.cat([self.first(first), self.second(second)], dim=1))
