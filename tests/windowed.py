"""Small segmentations in windows, which several tests share."""

import torch
from torch import nn

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.windows import windows


def network(axes: int = 3, classes: int = 3, *, norm: bool = True, width: int = 4, seed: int = 0) -> nn.Module:
    """Two convolutions, GELU, instance norm (which acts within a window)."""
    torch.manual_seed(seed)
    conv, normal = (nn.Conv2d, nn.InstanceNorm2d) if axes == 2 else (nn.Conv3d, nn.InstanceNorm3d)
    return nn.Sequential(
        conv(1, width, 3, padding=1), normal(width) if norm else nn.Identity(), nn.GELU(),
        conv(width, classes, 3, padding=1),
    ).eval()  # fmt: skip


def predictor(axes: int = 3, classes: int = 3, *, module: nn.Module | None = None, **options) -> Predictor:
    """Around that network, in windows of 6 voxels."""
    given = {"roi": (6,) * axes, **options}
    return Predictor(
        module or network(axes, classes), inputs=["x"], task="segmentation", classes=[f"k{i}" for i in range(classes)],
        windows=windows(**given),
    )  # fmt: skip


def case(*shape: int, seed: int = 0, name: str = "p") -> Case:
    """A volume of noise."""
    return Case(id=f"{name}{seed}", inputs={"x": torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed))})
