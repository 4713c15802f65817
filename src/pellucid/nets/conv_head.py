"""A ResNet with a 2×2 convolution in the place of its pooling, as in the seed of the MRI study."""

from __future__ import annotations

from collections import OrderedDict
from math import prod
from typing import Any

from torch import Tensor, nn

from pellucid.errors import UsageError
from pellucid.nets.layers import layers

HALVINGS = 5  # of a ResNet: its grid is the picture's side divided by 32, rounded up


class ConvHeadResNet(nn.Module):
    """A ResNet's stages, and behind them a convolution, ReLU, and a linear layer: ``(B, C, *spatial)`` to ``(B, K)``.

    The stages keep their names, and all that is new is called ``fc``, as the layer that it stands for: a state dict of
    the plain network fits but for its last layer.

    Args:
        resnet: MONAI's, with its linear layer.
        channels: that the convolution gives.
        size: the pictures' side, which then decides how many values the linear layer takes; None averages the
            convolution's map over space, so that every size will do.
        spatial_dims: 2 or 3.
        head: width of a hidden layer before the last one; none if None.
        dropout: share of the values that are left out in training, before the last linear layer.

    Raises:
        UsageError: a number that cannot be.
    """

    def __init__(
        self, resnet: Any, *, channels: int, size: int | None, spatial_dims: int, head: int | None, dropout: float
    ) -> None:
        super().__init__()
        for name, value in (("conv", channels), ("size", size), ("head", head)):
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; give at least 1, or leave it out")
        self.conv1, self.bn1, self.act, self.maxpool = resnet.conv1, resnet.bn1, resnet.act, resnet.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = (getattr(resnet, f"layer{i}") for i in range(1, 5))
        of, self.size = layers(spatial_dims), size
        width = channels
        if size is not None:
            places = max(-(-size // 2**HALVINGS), 2) - 1
            width *= prod([places] * spatial_dims)
        steps: dict[str, nn.Module] = {"conv": of.conv(resnet.fc.in_features, channels, 2), "relu": nn.ReLU()}
        steps |= ({"pool": of.adaptive_pool(1)} if size is None else {}) | {"flatten": nn.Flatten()}
        if head is not None:
            steps |= {"hidden": nn.Linear(width, head), "hidden_relu": nn.ReLU()}
        steps |= {"dropout": nn.Dropout(dropout)} if dropout else {}
        steps["out"] = nn.Linear(head or width, resnet.fc.out_features)
        self.fc = nn.Sequential(OrderedDict(steps))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, *spatial)`` to logits ``(B, K)``."""
        if self.size is not None and any(n != self.size for n in x.shape[2:]):
            raise UsageError(
                f"the network is built for pictures of {self.size} a side (option 'size'), this one is "
                f"{tuple(x.shape[2:])}; leave 'size' out for pictures of any size"
            )
        x = self.maxpool(self.act(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        # Of a picture of up to 32 pixels a side one place is left: it is repeated, so that a kernel of two fits.
        y: Tensor = self.fc(x.expand(*x.shape[:2], *(max(n, 2) for n in x.shape[2:])))
        return y
