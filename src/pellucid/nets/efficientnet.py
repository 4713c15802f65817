"""EfficientNet-B0, of MONAI's blocks, padded as torchvision's."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from pellucid.nets.backbones import Standardise, new_head
from pellucid.nets.picture_norm import standardised
from pellucid.nets.registry import NETWORKS


@NETWORKS.register("efficientnet_b0")
def efficientnet_b0(
    *,
    classes: int = 1,
    in_channels: int = 1,
    spatial_dims: Literal[2, 3] = 2,
    head: int | None = None,
    dropout: float = 0.0,
    standardise: Standardise | None = None,
) -> nn.Module:
    """EfficientNet-B0 (Tan & Le, 2019): ``(B, C, *spatial)`` to logits ``(B, K)``; options as those of ResNet-18.

    ``conv`` and ``size`` excepted. MONAI's network, with two changes: its swish is ``nn.SiLU``, since one that computes
    its own gradient is out of sight of guided backpropagation, DeepLIFT and LRP; and strided convolutions are padded
    alike at both ends, where MONAI pads for pictures of 224² at the far end, so that the grid of features lies on the
    picture as torchvision's does, whatever the picture's size.
    """
    from monai.networks.nets import EfficientNetBN

    module: Any = EfficientNetBN(
        "efficientnet-b0", pretrained=False, spatial_dims=spatial_dims, in_channels=in_channels, num_classes=classes,
        norm=("batch", {"eps": 1e-5, "momentum": 0.1}),
    )  # fmt: skip
    for part in list(module.modules()):
        if hasattr(part, "_swish"):
            part._swish = nn.SiLU()
        for name in [n for n, _ in part.named_children() if n.endswith("_padding")]:
            conv: Any = getattr(part, name.removesuffix("_padding"))
            if not isinstance(conv, nn.Identity):
                conv.padding = tuple(k // 2 for k in conv.kernel_size)
            setattr(part, name, nn.Identity())
    last = new_head(module._fc, head=head, dropout=dropout)
    module._dropout = nn.Dropout(dropout) if last is None and dropout else nn.Identity()
    if last is not None:
        module._fc = last
    return standardised(module, standardise)
