"""How the weights lie in memory: channels last, a U-Net trains 1.6 to 2 times faster on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_last(x: Tensor) -> Tensor:
    """The same values with the channels next to each other; what has no channels stays.

    Of a single channel both layouts hold the same bytes, and PyTorch would take the usual one on from there, through
    the first and largest layers: the strides have to say which it is (a quarter less time for a training step of
    `two_stream` and of `image_tabular`).
    """
    layout = CHANNELS_LAST.get(x.ndim, torch.contiguous_format)
    return _copied(x, layout) if x.ndim in CHANNELS_LAST and x.shape[1] == 1 else x.contiguous(memory_format=layout)


def _copied(x: Tensor, layout: torch.memory_format) -> Tensor:
    """A copy whose strides are those of the layout, where axes of one place would do with any."""
    return torch.empty_like(x, memory_format=layout).copy_(x)


def lay_out(module: nn.Module, *, last: bool) -> nn.Module:
    """Lay all parameters out channels last, or back in the usual way; the values stay. Returns the module."""
    for p in module.parameters():
        p.data = channels_last(p.data) if last else _copied(p.data, torch.contiguous_format)
    return module
