"""MeshNet: a segmentation network of dilated convolutions that never leaves the full grid."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pellucid.errors import UsageError
from pellucid.nets.layers import layers
from pellucid.nets.registry import NETWORKS


@NETWORKS.register("meshnet")
class MeshNet(nn.Module):
    """Dilated 3×3×3 convolutions with ELU, and a last one of 1×1×1 (Fedorov et al., 2017; as in brainchop).

    Weights are called ``conv{i}.weight`` and ``conv{i}.bias``. With the default dilations an output voxel
    sees 46 voxels to each side (``margin``).

    Args:
        classes: outputs, class 0 the background.
        in_channels: channels of the volume.
        channels: channels of every layer in between.
        dilations: of each layer; the last one's layer is the 1×1×1 convolution.
        spatial_dims: 2 or 3.
    """

    def __init__(
        self,
        *,
        classes: int = 18,
        in_channels: int = 1,
        channels: int = 21,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 8, 4, 2, 1, 1),
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        if len(dilations) < 2:
            raise UsageError(f"meshnet with dilations {list(dilations)}: give at least two, one per layer")
        conv = layers(spatial_dims).conv
        self.depth = len(dilations)
        self.margin = sum(dilations[:-1])
        for i, d in enumerate(dilations[:-1]):
            self.add_module(
                f"conv{i}", conv(in_channels if i == 0 else channels, channels, 3, padding=d, dilation=d)
            )
            self.add_module(f"act{i}", nn.ELU())
        self.add_module(f"conv{self.depth - 1}", conv(channels, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, *spatial)`` to logits ``(B, K, *spatial)``."""
        for i in range(self.depth - 1):
            x = self.get_submodule(f"act{i}")(self.get_submodule(f"conv{i}")(x))
        return self.get_submodule(f"conv{self.depth - 1}")(x)
