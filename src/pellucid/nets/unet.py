"""U-Nets for pictures and volumes of any size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor, nn

from pellucid.errors import UsageError
from pellucid.nets.any_size import AnySize
from pellucid.nets.layers import layers
from pellucid.nets.picture_norm import standardised
from pellucid.nets.registry import NETWORKS

Norm = Literal["batch", "instance"]


class UNet(nn.Module):
    """Ronneberger's U-Net: two 3×3 convolutions a level, max-pooling, up-convolution, concatenation with the skip.

    Made of the blocks of MONAI's ``BasicUNet``, which is this network with always five levels; MONAI's ``UNet`` has
    one strided convolution a level in the place of two and a pooling. Against the publication: convolutions are
    padded, so that the output has the input's size, and each is followed by a norm.
    """

    def __init__(
        self, classes: int, in_channels: int, channels: Sequence[int], norm: str, dropout: float, spatial_dims: int
    ) -> None:
        from monai.networks.nets.basic_unet import Down, TwoConv, UpCat

        super().__init__()
        shared: dict[str, Any] = {
            "act": ("relu", {"inplace": False}), "norm": (norm, {"affine": True}), "bias": False, "dropout": dropout,
        }  # fmt: skip
        pairs = list(pairwise(channels))
        self.top = TwoConv(spatial_dims, in_channels, channels[0], **shared)
        self.down = nn.ModuleList(Down(spatial_dims, a, b, **shared) for a, b in pairs)
        self.up = nn.ModuleList(UpCat(spatial_dims, b, a, a, is_pad=False, **shared) for a, b in reversed(pairs))
        self.out = layers(spatial_dims).conv(channels[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, *spatial)`` to logits ``(B, K, *spatial)``; the sides are multiples of ``2 ** (levels − 1)``."""
        seen = [self.top(x)]
        for down in self.down:
            seen.append(down(seen[-1]))
        x = seen.pop()
        for up in self.up:
            x = up(x, seen.pop())
        return self.out(x)


@NETWORKS.register("unet")
def unet(
    *,
    classes: int = 1,
    in_channels: int = 1,
    channels: Sequence[int] = (32, 64, 128, 256, 512),
    norm: Norm = "batch",
    dropout: float = 0.0,
    spatial_dims: int = 2,
    standardise: Literal["picture"] | None = None,
) -> nn.Module:
    """U-Net (Ronneberger et al., 2015): ``(B, C, *spatial)`` of any size to logits ``(B, K, *spatial)``.

    Args:
        classes: outputs: 1 for one region, else class 0 is the background.
        in_channels: channels of the picture.
        channels: of each level, the finest first; one halving between two levels. The published ones are twice the
            default.
        norm: ``"batch"``, or ``"instance"`` for few pictures in a batch, as volumes need.
        dropout: share of the values left out in training, in every convolution.
        spatial_dims: 2 or 3.
        standardise: ``"picture"`` for a :class:`~pellucid.nets.picture_norm.PictureNorm` in front.
    """
    _check(channels, dropout, norm)
    network = UNet(classes, in_channels, channels, norm, dropout, spatial_dims)
    return standardised(AnySize(network, multiple=2 ** (len(channels) - 1)), standardise)


@NETWORKS.register("attention_unet")
def attention_unet(
    *,
    classes: int = 1,
    in_channels: int = 1,
    channels: Sequence[int] = (32, 64, 128, 256, 512),
    dropout: float = 0.0,
    spatial_dims: int = 2,
    standardise: Literal["picture"] | None = None,
) -> nn.Module:
    """MONAI's attention U-Net (Oktay et al., 2018): a gate of its own weighs every skip; options as those of ``unet``.

    ``(B, C, *spatial)`` of any size to logits ``(B, K, *spatial)``. Convolutions are followed by batch norms, those
    that merge a skip by an instance norm, as MONAI has it.
    """
    from monai.networks.nets import AttentionUnet

    _check(channels, dropout, "batch")
    steps = len(channels) - 1
    network = AttentionUnet(
        spatial_dims=spatial_dims, in_channels=in_channels, out_channels=classes, channels=tuple(channels),
        strides=(2,) * steps, dropout=dropout,
    )  # fmt: skip
    return standardised(AnySize(network, multiple=2**steps), standardise)


def _check(channels: Sequence[int], dropout: float, norm: str) -> None:
    if len(channels) < 2 or min(channels) < 2:
        raise UsageError(f"channels {list(channels)}: give at least two levels, of at least 2 channels each")
    if not 0 <= dropout < 1:
        raise UsageError(f"dropout is {dropout}; give a share from 0 to below 1")
    if norm not in ("batch", "instance"):
        raise UsageError(f"norm={norm!r}: choose 'batch' or 'instance'")
