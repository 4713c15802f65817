"""Tiny fusion networks for tests, their running statistics as those of a network that has been trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pellucid.nets import build_network


def fusion_network(shapes: Mapping[str, tuple[int, ...]], **options: Any) -> nn.Module:
    """A late fusion network (or what ``options`` say) of three outputs for inputs of these shapes, in eval mode."""
    inputs = [
        {"kind": "table", "features": s[0]} if len(s) == 1 else {"kind": "image", "in_channels": s[0]}
        for s in shapes.values()
    ]  # fmt: skip
    axes = max(len(s) for s in shapes.values()) - 1
    net = build_network("fusion", {"inputs": inputs, "classes": 3, "width": 12, "spatial_dims": axes, **options})
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.running_mean.uniform_(-0.3, 0.3)
                part.running_var.uniform_(0.5, 1.5)
        for p in getattr(net.stand_ins, "values", ()) if net.stand_ins is not None else ():
            p.normal_()
    return net.eval()
