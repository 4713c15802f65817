"""Pictures of any size for a network that halves them several times."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class AnySize(nn.Module):
    """Pads a picture at its far edges to multiples, and cuts the network's output back to the picture's size.

    The padding repeats the last row, column or slice; a picture whose sides are multiples goes through as it is. The
    padding is at one end of each axis, so that the network's grid stays where it is: pixels whose receptive field
    does not reach the padding get the output that they would have in a larger picture (instance norms, though, see
    the whole of the padded picture).

    Args:
        network: ``(B, C, *spatial)`` to ``(B, K, *spatial)``.
        multiple: of what the sides have to be.
    """

    def __init__(self, network: nn.Module, *, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, *spatial)`` to logits ``(B, K, *spatial)``."""
        size = x.shape[2:]
        missing = [-s % self.multiple for s in size]
        if all(s + m == self.multiple for s, m in zip(size, missing)):
            missing[-1] += self.multiple  # norms cannot take a coarsest grid of a single place
        if any(missing):
            # F.pad begins with the last axis: (before, after) of each.
            x = F.pad(x, [n for m in reversed(missing) for n in (0, m)], mode="replicate")
        y = self.network(x)
        return y[(..., *(slice(s) for s in size))] if any(missing) else y
