"""MONAI's networks, for any number of spatial axes and channels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from pellucid.errors import UsageError
from pellucid.nets.conv_head import ConvHeadResNet
from pellucid.nets.picture_norm import standardised
from pellucid.nets.registry import NETWORKS

Standardise = Literal["picture"]


def _resnet(
    depth: int,
    classes: int,
    in_channels: int,
    spatial_dims: int,
    head: int | None,
    dropout: float,
    norm: str | None,
    conv: int | None,
    size: int | None,
) -> nn.Module:
    from monai.networks import nets

    make: Any = getattr(nets, f"resnet{depth}")
    # MONAI's own default for the first stride is 1: four times the cost of the published network.
    module = make(
        pretrained=False,
        spatial_dims=spatial_dims,
        n_input_channels=in_channels,
        num_classes=classes,
        conv1_t_stride=2,
        # As published: MONAI's "B" for the shortcuts, no bias before a batch norm.
        shortcut_type="B",
        bias_downsample=False,
    )
    last = new_head(module.fc, head=head, dropout=dropout)
    if conv is None and size is not None:
        raise UsageError(f"size is {size}, and there is no 'conv' that it is for; give 'conv' too, or leave it out")
    if conv is not None:
        given: dict[str, Any] = {"spatial_dims": spatial_dims, "head": head, "dropout": dropout}
        return standardised(ConvHeadResNet(module, channels=conv, size=size, **given), norm)
    if last is not None:
        module.fc = last
    elif dropout:
        # Behind the pooling, where each channel is one number: the names of the weights stay.
        module.avgpool = nn.Sequential(module.avgpool, nn.Dropout(dropout))
    return standardised(module, norm)


@NETWORKS.register("resnet18")
def resnet18(
    *,
    classes: int = 1,
    in_channels: int = 1,
    spatial_dims: int = 2,
    head: int | None = None,
    dropout: float = 0.0,
    standardise: Standardise | None = None,
    conv: int | None = None,
    size: int | None = None,
) -> nn.Module:
    """ResNet-18 (He et al., 2016): ``(B, C, *spatial)`` to logits ``(B, K)``.

    Args:
        classes: outputs.
        in_channels: channels of the picture.
        spatial_dims: 2 or 3.
        head: width of a hidden layer behind the pooling (linear, ReLU, dropout, linear); the published one linear
            layer if None.
        dropout: share of the features that are left out in training, before the last linear layer.
        standardise: ``"picture"`` for a :class:`~pellucid.nets.picture_norm.PictureNorm` in front.
        conv: channels of a 2×2 convolution with ReLU in the place of the pooling. The seed of the MRI study has a
            ResNet without its pooling, frozen, with a stem for one channel, then such a convolution and a linear layer
            over all that it gives, for pictures of one size; its published code has 512 channels, 2048 behind
            ResNet-50, and no ReLU. Ours is the ReLU, and the average over the convolution's map, so that every size
            will do, unless ``size`` is given. See :class:`~pellucid.nets.conv_head.ConvHeadResNet`; freezing is of the
            training.
        size: with ``conv``, the side of the pictures, all of one size: the linear layer then takes all places of the
            convolution's map, as the seed's.
    """
    return _resnet(18, classes, in_channels, spatial_dims, head, dropout, standardise, conv, size)


@NETWORKS.register("resnet50")
def resnet50(
    *,
    classes: int = 1,
    in_channels: int = 1,
    spatial_dims: int = 2,
    head: int | None = None,
    dropout: float = 0.0,
    standardise: Standardise | None = None,
    conv: int | None = None,
    size: int | None = None,
) -> nn.Module:
    """ResNet-50 (He et al., 2016): ``(B, C, *spatial)`` to logits ``(B, K)``; options as those of ResNet-18."""
    return _resnet(50, classes, in_channels, spatial_dims, head, dropout, standardise, conv, size)


@NETWORKS.register("resnet101")
def resnet101(
    *,
    classes: int = 1,
    in_channels: int = 1,
    spatial_dims: int = 2,
    head: int | None = None,
    dropout: float = 0.0,
    standardise: Standardise | None = None,
    conv: int | None = None,
    size: int | None = None,
) -> nn.Module:
    """ResNet-101 (He et al., 2016): ``(B, C, *spatial)`` to logits ``(B, K)``; options as those of ResNet-18."""
    return _resnet(101, classes, in_channels, spatial_dims, head, dropout, standardise, conv, size)


@NETWORKS.register("densenet121")
def densenet121(
    *,
    classes: int = 1,
    in_channels: int = 1,
    spatial_dims: int = 2,
    head: int | None = None,
    dropout: float = 0.0,
    standardise: Standardise | None = None,
) -> nn.Module:
    """DenseNet-121 (Huang et al., 2017): ``(B, C, *spatial)`` to logits ``(B, K)``; options as those of ResNet-18.

    ``conv`` and ``size`` excepted.
    """
    from monai.networks.nets import DenseNet121

    module: Any = DenseNet121(spatial_dims=spatial_dims, in_channels=in_channels, out_channels=classes)
    last = new_head(module.class_layers.out, head=head, dropout=dropout)
    if last is not None:
        module.class_layers.out = last
    elif dropout:
        steps = OrderedDict(module.class_layers.named_children())
        out = steps.pop("out")
        module.class_layers = nn.Sequential(OrderedDict(**steps, dropout=nn.Dropout(dropout), out=out))
    return standardised(module, standardise)


def new_head(last: nn.Linear, *, head: int | None, dropout: float) -> nn.Sequential | None:
    """A hidden layer and dropout in place of the last linear layer, as in SegX; None if none is asked for.

    Raises:
        UsageError: a width below 1, or a share out of range.
    """
    if not 0 <= dropout < 1:
        raise UsageError(f"dropout is {dropout}; give a share from 0 to below 1")
    if head is None:
        return None
    if head < 1:
        raise UsageError(f"head is {head}; give the width of the hidden layer, at least 1, or leave it out")
    return nn.Sequential(
        OrderedDict(
            hidden=nn.Linear(last.in_features, head), relu=nn.ReLU(), dropout=nn.Dropout(dropout),
            out=nn.Linear(head, last.out_features),
        )
    )  # fmt: skip


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
