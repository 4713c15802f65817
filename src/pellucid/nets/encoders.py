"""What turns a picture into a map of features, under the names that the published networks have: encoders."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from pellucid.errors import UsageError, nearest
from pellucid.nets.layers import layers

ENCODERS = ("small", "resnet18", "efficientnet_b0", "densenet121")


class Encoder(nn.Sequential):
    """A network without its pooling and its last layer: ``(B, C, *spatial)`` to ``(B, channels[-1], *grid)``.

    Its parts have the names of the network that it is of, so that a state dict of that fits but for the last layer.

    Args:
        parts: by name, in the order in which they run.
        stops: names of the parts behind which a map is taken for a skip connection, the finest first; the last one is
            the end.
        channels: of each of these maps.
    """

    def __init__(self, parts: OrderedDict[str, nn.Module], *, stops: Sequence[str], channels: Sequence[int]) -> None:
        super().__init__(parts)
        self.stops, self.channels, self.kind = tuple(stops), tuple(channels), "small"

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """The maps behind the stops, the finest first."""
        found = []
        for name, part in self.named_children():
            x = part(x)
            if name in self.stops:
                found.append(x)
        return found


def encoder(name: str, *, in_channels: int, spatial_dims: int, width: int = 32) -> Encoder:
    """An encoder with random weights.

    Args:
        name: one of ``ENCODERS``. ``"small"`` has two convolutions with batch norm, halved in between.
        in_channels: channels of the picture.
        spatial_dims: 2 or 3.
        width: channels of the map of ``"small"``; those of the published networks are fixed.

    Raises:
        UsageError: another name.
    """
    if name == "small":
        return _small(in_channels, spatial_dims, width)
    if name not in ENCODERS:
        raise UsageError(f"encoder {name!r}; {nearest(str(name), ENCODERS)}")
    made = MAKERS[name](in_channels, spatial_dims)
    made.kind = name
    return made


def _small(in_channels: int, dims: int, width: int) -> Encoder:
    of, half = layers(dims), max(width // 2, 1)
    first = nn.Sequential(of.conv(in_channels, half, 3, padding=1, bias=False), of.norm(half), nn.ReLU())
    second = nn.Sequential(
        of.max_pool(2), of.conv(half, width, 3, padding=1, bias=False), of.norm(width), nn.ReLU()
    )
    return Encoder(OrderedDict(first=first, second=second), stops=("first", "second"), channels=(half, width))


def _resnet(in_channels: int, dims: int) -> Encoder:
    from pellucid.nets.backbones import resnet18

    net: Any = resnet18(in_channels=in_channels, spatial_dims=dims)
    names = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4")
    parts = OrderedDict((n, getattr(net, n)) for n in names)
    return Encoder(parts, stops=("act", "layer1", "layer2", "layer3", "layer4"), channels=(64, 64, 128, 256, 512))


def _densenet(in_channels: int, dims: int) -> Encoder:
    from pellucid.nets.backbones import densenet121

    net: Any = densenet121(in_channels=in_channels, spatial_dims=dims)
    # The published network has a ReLU between its features and the pooling.
    return Encoder(OrderedDict(features=net.features, relu=nn.ReLU()), stops=("relu",), channels=(1024,))


def _efficientnet(in_channels: int, dims: int) -> Encoder:
    from pellucid.nets.efficientnet import efficientnet_b0

    net: Any = efficientnet_b0(in_channels=in_channels, spatial_dims=dims)
    names = ("_conv_stem_padding", "_conv_stem", "_bn0", "_swish", "_blocks", "_conv_head", "_bn1")
    parts = OrderedDict((n, getattr(net, n)) for n in names)
    parts["_swish_head"] = nn.SiLU()
    return Encoder(parts, stops=("_swish_head",), channels=(1280,))


MAKERS = {"resnet18": _resnet, "efficientnet_b0": _efficientnet, "densenet121": _densenet}


class Vector(nn.Module):
    """An encoder's map averaged over space, and a linear layer: ``(B, C, *spatial)`` to ``(B, width)``."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, *grid)`` to ``(B, width)``."""
        return self.project(x.flatten(2).mean(2))


def table_encoder(features: int, width: int) -> nn.Sequential:
    """Two linear layers with ReLU for a table: ``(B, F)`` to ``(B, width)``."""
    return nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width))
