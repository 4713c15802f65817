"""A U-Net with an encoder for each of two pictures: the workshop's segmentation network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.nets.layers import layers
from pellucid.nets.registry import NETWORKS


class Block(nn.Sequential):
    """Twice: convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, dims: int) -> None:
        of = layers(dims)
        super().__init__(
            of.conv(inputs, outputs, 3, padding=1, bias=False), of.norm(outputs), nn.ReLU(),
            of.conv(outputs, outputs, 3, padding=1, bias=False), of.norm(outputs), nn.ReLU(),
        )  # fmt: skip


class Encoder(nn.Module):
    """Three levels, halved in between."""

    def __init__(self, in_channels: int, width: int, dims: int) -> None:
        super().__init__()
        of = layers(dims)
        self.level1 = Block(in_channels, width, dims)
        self.pool1 = of.max_pool(2)
        self.level2 = Block(width, 2 * width, dims)
        self.pool2 = of.max_pool(2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The two levels, and the second one halved."""
        one = self.level1(x)
        two = self.level2(self.pool1(one))
        return one, two, self.pool2(two)


@NETWORKS.register("two_encoder_unet")
class TwoEncoderUNet(nn.Module):
    """Two encoders, a shared decoder, skip connections from the first picture (FLAIR) alone.

    The second picture (contrast-enhanced T1) reaches the decoder only through the deepest level.

    Args:
        classes: output channels.
        in_channels: channels of each picture.
        width: channels of the first level; cost grows with its square.
        spatial_dims: 2 or 3.
    """

    def __init__(
        self, *, classes: int = 1, in_channels: int = 1, width: int = 16, spatial_dims: int = 2
    ) -> None:
        super().__init__()
        self.first = Encoder(in_channels, width, spatial_dims)
        self.second = Encoder(in_channels, width, spatial_dims)
        self.bottom = Block(4 * width, 4 * width, spatial_dims)
        self.up2 = Block(6 * width, 2 * width, spatial_dims)
        self.up1 = Block(3 * width, width, spatial_dims)
        self.out = layers(spatial_dims).conv(width, classes, 1)
        self.mode = layers(spatial_dims).interpolation

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two pictures ``(B, C, *spatial)`` on one grid to logits ``(B, K, *spatial)``."""
        one, two, deep = self.first(first)
        x = self.bottom(torch.cat([deep, self.second(second)[2]], dim=1))
        x = self.up2(torch.cat([self._grow(x, two), two], dim=1))
        x = self.up1(torch.cat([self._grow(x, one), one], dim=1))
        return self.out(x)

    def _grow(self, x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, size=like.shape[2:], mode=self.mode, align_corners=False)
