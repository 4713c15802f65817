"""A U-Net for any number of pictures on one grid, joined early, late or by attention."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import UsageError, nearest
from pellucid.nets.attention_blocks import Block as Attention
from pellucid.nets.attention_blocks import Places
from pellucid.nets.encoders import Encoder, encoder
from pellucid.nets.fusion import Inputs, check_inputs
from pellucid.nets.layers import layers
from pellucid.nets.registry import NETWORKS
from pellucid.nets.stand_ins import stand_ins
from pellucid.nets.two_encoder_unet import Block

ENCODERS = ("plain", "resnet18")


@NETWORKS.register("fusion_unet")
class FusionUNet(nn.Module):
    """Pictures on one grid, of any size, to logits ``(B, K, *spatial)``.

    ``early``: the pictures are the channels of one encoder. ``late``: an encoder each, whose maps are joined on every
    level, so that each picture has skip connections. ``cross_attention``: as ``late``, and on the coarsest level the
    places of each picture's map look at those of the others first; a price that grows with the square of their number.

    Args:
        inputs: in the order of ``forward``: ``{kind: image, in_channels: 1}`` each. In a recipe it can be left out, and
            is then taken from the cases.
        classes: output channels: 1 for one region, else class 0 is the background.
        encoder: ``plain``, two convolutions a level; or ``resnet18``, whose levels are five halvings.
        spatial_dims: 2 or 3.
        fuse: ``early``, ``late`` or ``cross_attention``.
        channels: of each level of ``plain``, the finest first; ``resnet18`` has its own.
        heads: of the attention.
        missing: ``mean`` or ``learnt``, as in :class:`~pellucid.nets.fusion.Fusion`.

    Raises:
        UsageError: options that do not fit together.
    """

    def __init__(
        self, *, inputs: Inputs = ({"kind": "image", "in_channels": 1}, {"kind": "image", "in_channels": 1}),
        classes: int = 1, encoder: Literal["plain", "resnet18"] = "plain", spatial_dims: int = 2,
        fuse: Literal["early", "late", "cross_attention"] = "late", channels: Sequence[int] = (16, 32, 64),
        heads: int = 4, missing: Literal["mean", "learnt"] = "mean",
    ) -> None:  # fmt: skip
        super().__init__()
        self.inputs, self.fuse = check_inputs(inputs), fuse
        if any(i["kind"] == "table" for i in self.inputs):
            raise UsageError("fusion_unet takes pictures alone; a table has no place in a segmentation's grid")
        if fuse not in ("early", "late", "cross_attention"):
            raise UsageError(f"fuse={fuse!r}: choose 'early', 'late' or 'cross_attention'")
        if encoder not in ENCODERS:
            raise UsageError(f"encoder {encoder!r}; {nearest(str(encoder), ENCODERS)}")
        if len(channels) < 2 or min(channels) < 1:
            raise UsageError(f"channels {list(channels)}: give at least two levels, of at least 1 channel each")
        counts = [i["in_channels"] for i in self.inputs]
        counts = [sum(counts)] if fuse == "early" else counts
        self.stand_ins = stand_ins(missing, self.inputs, spatial_dims)
        made = [_encoder(encoder, n, spatial_dims, tuple(channels)) for n in counts]
        self.encoders = nn.ModuleList(made)
        self.encoder_names = {f"encoders.{i}": encoder for i in range(len(counts)) if encoder != "plain"}
        of_skips = made[0].channels
        if fuse == "cross_attention":
            if len(counts) < 2 or of_skips[-1] % heads:
                raise UsageError(
                    f"fuse='cross_attention' is between pictures, of {len(counts)}, and their {of_skips[-1]} channels "
                    f"are divided between {heads} heads; give two pictures or more, and heads that divide the channels"
                )
            self.places = nn.ModuleList(Places(of_skips[-1], spatial_dims, of_skips[-1]) for _ in counts)
            self.crossing = nn.ModuleList(Attention(of_skips[-1], heads, other=True) for _ in counts)
        joined, n = [len(counts) * c for c in of_skips], len(of_skips)
        sizes = list(of_skips)
        self.bottom = Block(joined[-1], sizes[-1], spatial_dims)
        self.up = nn.ModuleList(
            Block(sizes[i + 1] + joined[i], sizes[i], spatial_dims) for i in reversed(range(n - 1))
        )
        self.head = layers(spatial_dims).conv(sizes[0], classes, 1)
        self.mode = layers(spatial_dims).interpolation

    def stand_in(self, place: int, like: Tensor) -> Tensor | None:
        """What stands in for picture number ``place``, as large as ``like``; None where it is the mean."""
        return None if self.stand_ins is None else self.stand_ins(place, like)

    def forward(self, *pictures: Tensor) -> Tensor:
        """``(B, C, *spatial)``, in the order of ``inputs``, to logits ``(B, K, *spatial)``."""
        grids = {tuple(x.shape[2:]) for x in pictures}
        if len(pictures) != len(self.inputs) or len(grids) > 1:
            raise UsageError(
                f"the network is built for {len(self.inputs)} pictures on one grid, given are {len(pictures)} of "
                f"{', '.join(map(str, sorted(grids)))}; resample them to one"
            )
        given = [torch.cat(pictures, dim=1)] if self.fuse == "early" else list(pictures)
        pyramids = [cast("Encoder", run).pyramid(x) for run, x in zip(self.encoders, given)]
        if self.fuse == "cross_attention":
            for pyramid, crossed in zip(pyramids, self._crossed([p[-1] for p in pyramids])):
                pyramid[-1] = crossed
        levels = [torch.cat(maps, dim=1) for maps in zip(*pyramids)]
        x = self.bottom(levels[-1])
        for block, skip in zip(self.up, reversed(levels[:-1])):
            x = block(torch.cat([self._grown(x, skip.shape[2:]), skip], dim=1))
        return self._grown(self.head(x), pictures[0].shape[2:])

    def _crossed(self, maps: list[Tensor]) -> list[Tensor]:
        tokens = [place(m) for place, m in zip(self.places, maps)]
        found = []
        for i, (block, mine) in enumerate(zip(self.crossing, tokens)):
            others = torch.cat(tokens[:i] + tokens[i + 1 :], dim=1)
            found.append(block(mine, others).transpose(1, 2).reshape(maps[i].shape))
        return found

    def _grown(self, x: Tensor, size: Sequence[int]) -> Tensor:
        if tuple(x.shape[2:]) == tuple(size):
            return x
        return F.interpolate(x, size=tuple(size), mode=self.mode, align_corners=False)


def _encoder(name: str, in_channels: int, dims: int, channels: tuple[int, ...]) -> Encoder:
    if name != "plain":
        return encoder(name, in_channels=in_channels, spatial_dims=dims)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    before = in_channels
    for level, width in enumerate(channels):
        pool = [layers(dims).max_pool(2, ceil_mode=True)] if level else []
        parts[f"level{level + 1}"] = nn.Sequential(*pool, Block(before, width, dims))
        before = width
    return Encoder(parts, stops=tuple(parts), channels=channels)
