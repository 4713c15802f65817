"""Small transformers: what the contract tests run the attention methods on, and the tests of attention their own."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Self-attention as in timm: one linear layer for queries, keys and values, fused or written out."""

    def __init__(self, width: int, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused, self.scale = heads, fused, (width // heads) ** -0.5
        self.qkv, self.proj, self.drop = nn.Linear(width, 3 * width), nn.Linear(width, width), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            x = F.scaled_dot_product_attention(q, k, v)
        else:
            x = self.drop(((q * self.scale) @ k.transpose(-2, -1)).softmax(dim=-1)) @ v
        return self.proj(x.transpose(1, 2).reshape(b, n, c))


class Block(nn.Module):
    """Attention and two linear layers, residual, norms first."""

    def __init__(self, width: int, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads, fused=fused)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    """A vision transformer as in timm: class token, registers, learned places, and a head (or the class token)."""

    def __init__(
        self, shape: tuple[int, ...], patch: tuple[int, ...], outputs: int | None = 3, *, width: int = 12,
        heads: int = 2, depth: int = 2, registers: int = 0, class_token: bool = True, fused: bool = True,
        sharp: float = 4.0,
    ) -> None:  # fmt: skip
        super().__init__()
        channels, *sides = shape
        self.grid = tuple(s // p for s, p in zip(sides, patch))
        self.patch_embed = (nn.Conv2d, nn.Conv3d)[len(sides) - 2](channels, width, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width)) if class_token else None
        self.reg_token = nn.Parameter(torch.randn(1, registers, width)) if registers else None
        self.pos_embed = nn.Parameter(0.5 * torch.randn(1, prod(self.grid), width))
        self.blocks = nn.ModuleList(Block(width, heads, fused=fused) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Identity() if outputs is None else nn.Linear(width, outputs)
        with torch.no_grad():  # attention that is not nearly uniform, as it would be with random weights
            for block in self.blocks:
                block.attn.qkv.weight[: 2 * width] *= sharp

    def tokens(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        before = [t.expand(len(x), -1, -1) for t in (self.cls_token, self.reg_token) if t is not None]
        x = torch.cat([*before, x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x)
        return self.head(x[:, 0] if self.cls_token is not None else x.mean(1))


class VitSegmenter(nn.Module):
    """A ViT without a class token as an encoder (as in UNETR), upsampled beside a convolution of the picture."""

    def __init__(self, shape: tuple[int, ...], patch: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.vit = Vit(shape, patch, None, class_token=False)
        self.skip, self.mix = nn.Conv2d(shape[0], 4, 3, padding=1), nn.Conv2d(12, 6, 3, padding=1)
        self.head = nn.Conv2d(10, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        deep = self.mix(self.vit.tokens(x).transpose(1, 2).unflatten(2, self.vit.grid)).relu()
        deep = F.interpolate(deep, size=x.shape[2:], mode="bilinear", align_corners=False)
        return self.head(torch.cat([deep, self.skip(x).relu()], 1))


def fusion(second: str, **options: int) -> nn.Module:
    """The project's fusion transformer, small, its attention sharpened."""
    from pellucid.nets import build_network

    net = build_network(
        "fusion_transformer", {"second": second, "classes": 3, "patch": 4, "width": 12, "heads": 2, **options}
    )
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "query.weight" in name or "key_value.weight" in name:
                p[:12] *= 4
    return net
