"""What a network learns to see in the place of an input that a case lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import UsageError
from pellucid.nets.layers import layers

PLACES = 4


class StandIns(nn.Module):
    """One coarse picture of ``PLACES`` along each axis, or one row, for each input; zeros, the mean, to begin with.

    In training the cases that lack an input, or from which ``drop_input`` takes it, are shown it, and they alone give
    it a gradient. It is on the scale that the network is given, standardised.

    Args:
        inputs: as of :class:`~pellucid.nets.fusion.Fusion`.
        spatial_dims: of the pictures.
    """

    def __init__(self, inputs: Sequence[Mapping[str, Any]], spatial_dims: int) -> None:
        super().__init__()
        self.mode = layers(spatial_dims).interpolation
        self.values = nn.ParameterList(
            nn.Parameter(torch.zeros(1, i["features"]))
            if i["kind"] == "table" else nn.Parameter(torch.zeros(1, i["in_channels"], *[PLACES] * spatial_dims))
            for i in inputs
        )

    def forward(self, place: int, like: Tensor) -> Tensor:
        """The stand-in of input number ``place``, as large as ``like``: ``(B, C, *spatial)`` or ``(B, F)``."""
        value: Tensor = self.values[place]
        if value.ndim > 2:
            value = F.interpolate(value, size=tuple(like.shape[2:]), mode=self.mode, align_corners=False)
        return value.expand(len(like), *value.shape[1:])


def stand_ins(missing: str, inputs: Sequence[Mapping[str, Any]], spatial_dims: int) -> StandIns | None:
    """By the option ``missing``: ``"mean"`` has none, ``"learnt"`` one for each input.

    Raises:
        UsageError: another word.
    """
    if missing not in ("mean", "learnt"):
        raise UsageError(f"missing={missing!r}: choose 'mean' or 'learnt'")
    return StandIns(inputs, spatial_dims) if missing == "learnt" else None
