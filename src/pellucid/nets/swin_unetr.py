"""Swin UNETR: a U-Net whose encoder is a Swin transformer."""

from __future__ import annotations

from torch import Tensor, nn

from pellucid.errors import UsageError
from pellucid.nets.registry import NETWORKS

MULTIPLE = 32
"""Of which every side has to be: patches of 2, halved four times more."""


class SwinUNETR(nn.Module):
    """MONAI's network, which refuses a picture whose sides it cannot halve."""

    def __init__(
        self, *, classes: int, in_channels: int, feature_size: int, use_checkpoint: bool, spatial_dims: int
    ) -> None:
        from monai.networks.nets import SwinUNETR as Monai

        super().__init__()
        self.network = Monai(
            in_channels=in_channels, out_channels=classes, feature_size=feature_size, use_checkpoint=use_checkpoint,
            spatial_dims=spatial_dims,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, *spatial)`` to logits ``(B, K, *spatial)``.

        Raises:
            UsageError: a side that is no multiple of 32, or all of them 32 (its instance norms then see one place).
        """
        size = tuple(x.shape[2:])
        if any(side % MULTIPLE for side in size) or all(side == MULTIPLE for side in size):
            raise UsageError(
                f"network 'swin_unetr': the picture is {size}; every side has to be a multiple of {MULTIPLE}, one of "
                f"them at least {2 * MULTIPLE}: train it on such patches (train.patch), and let volumes of other sizes "
                "go through it in windows (model.windows)"
            )
        return self.network(x)


@NETWORKS.register("swin_unetr")
def swin_unetr(
    *,
    classes: int = 2,
    in_channels: int = 1,
    feature_size: int = 24,
    use_checkpoint: bool = False,
    spatial_dims: int = 3,
) -> nn.Module:
    """Swin UNETR (Hatamizadeh et al., 2022): ``(B, C, *spatial)`` to logits ``(B, K, *spatial)``; MONAI's network.

    Every side is a multiple of 32, one of them at least 64.

    Args:
        classes: outputs: 1 for one region, else class 0 is the background.
        in_channels: channels of the volume.
        feature_size: channels of the finest level, a multiple of 12; the published ones are 48.
        use_checkpoint: compute the encoder's activations again in the backward pass, in the place of keeping them:
            less memory, more time.
        spatial_dims: 2 or 3.
    """
    if feature_size < 12 or feature_size % 12:
        raise UsageError(f"feature_size is {feature_size}; give a multiple of 12: attention has up to 24 heads")
    return SwinUNETR(
        classes=classes, in_channels=in_channels, feature_size=feature_size, use_checkpoint=use_checkpoint,
        spatial_dims=spatial_dims,
    )  # fmt: skip
