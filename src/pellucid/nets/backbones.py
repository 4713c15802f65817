"""MONAI's networks, for any number of spatial axes and channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from pellucid.nets.registry import NETWORKS


def _resnet(depth: int, classes: int, in_channels: int, spatial_dims: int) -> nn.Module:
    from monai.networks import nets

    # MONAI's own default for the first stride is 1: four times the cost of the published network.
    make: Any = getattr(nets, f"resnet{depth}")
    return make(
        pretrained=False,
        spatial_dims=spatial_dims,
        n_input_channels=in_channels,
        num_classes=classes,
        conv1_t_stride=2,
        # As published: MONAI's "B" for the shortcuts, no bias before a batch norm.
        shortcut_type="B",
        bias_downsample=False,
    )


@NETWORKS.register("resnet18")
def resnet18(*, classes: int = 1, in_channels: int = 1, spatial_dims: int = 2) -> nn.Module:
    """ResNet-18 (He et al., 2016): ``(B, C, *spatial)`` to logits ``(B, K)``."""
    return _resnet(18, classes, in_channels, spatial_dims)


@NETWORKS.register("resnet50")
def resnet50(*, classes: int = 1, in_channels: int = 1, spatial_dims: int = 2) -> nn.Module:
    """ResNet-50 (He et al., 2016): ``(B, C, *spatial)`` to logits ``(B, K)``."""
    return _resnet(50, classes, in_channels, spatial_dims)


@NETWORKS.register("densenet121")
def densenet121(
    *, classes: int = 1, in_channels: int = 1, spatial_dims: int = 2, dropout: float = 0.0
) -> nn.Module:
    """DenseNet-121 (Huang et al., 2017): ``(B, C, *spatial)`` to logits ``(B, K)``."""
    from monai.networks.nets import DenseNet121

    return DenseNet121(
        spatial_dims=spatial_dims, in_channels=in_channels, out_channels=classes, dropout_prob=dropout
    )


@NETWORKS.register("unet_3d")
def unet_3d(
    *,
    classes: int = 2,
    in_channels: int = 1,
    channels: Sequence[int] = (8, 16, 32),
    norm: str = "batch",
    spatial_dims: int = 3,
) -> nn.Module:
    """A small U-Net (Ronneberger et al., 2015) with residual units.

    ``(B, C, *spatial)`` to logits ``(B, K, *spatial)``. The spatial axes have to be multiples of
    ``2 ** (len(channels) − 1)``. Class 0 is the background, unless ``classes`` is 1.
    """
    from monai.networks.nets import UNet

    return UNet(
        spatial_dims=spatial_dims,
        in_channels=in_channels,
        out_channels=classes,
        channels=tuple(channels),
        strides=(2,) * (len(channels) - 1),
        num_res_units=1,
        norm=norm,
    )
