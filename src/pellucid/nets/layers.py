"""The layers of one, two or three dimensions, picked by number."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from pellucid.errors import UsageError


class Layers(NamedTuple):
    """Classes of layers that fit ``dims`` spatial axes."""

    conv: Any
    norm: Any
    max_pool: Any
    adaptive_pool: Any
    interpolation: str


LAYERS = {
    1: Layers(nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d, nn.AdaptiveAvgPool1d, "linear"),
    2: Layers(nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, "bilinear"),
    3: Layers(nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, nn.AdaptiveAvgPool3d, "trilinear"),
}


def layers(dims: int) -> Layers:
    """The layers for ``dims`` spatial axes.

    Raises:
        UsageError: not 1, 2 or 3.
    """
    if dims not in LAYERS:
        raise UsageError(f"spatial_dims is {dims}; give 1, 2 or 3")
    return LAYERS[dims]
