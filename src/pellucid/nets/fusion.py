"""Any number of pictures and tables of one patient in one network, joined early, late or by attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pellucid.errors import UsageError
from pellucid.nets.attention_blocks import Block, Columns, Places
from pellucid.nets.encoders import Encoder, Vector, table_encoder
from pellucid.nets.encoders import encoder as picture_encoder
from pellucid.nets.registry import NETWORKS
from pellucid.nets.stand_ins import stand_ins

Inputs = Sequence[Mapping[str, Any]]
Fuse = Literal["early", "late", "cross_attention"]


@NETWORKS.register("fusion")
class Fusion(nn.Module):
    """Pictures and tables to logits ``(B, K)``, or scores.

    ``late``: an encoder for each input; their vectors side by side go through a hidden layer. ``early``: all pictures,
    on one grid, are the channels of one encoder; tables have encoders of their own and join its vector. A class
    activation map is then one for all pictures, as they have no layer of their own. ``cross_attention``: the places of
    each encoder's last map and the columns of each table are tokens, which look at those of all other inputs; a class
    token looks at all.

    Args:
        inputs: in the order of ``forward``: ``{kind: image, in_channels: 1}`` or ``{kind: table, features: 12}``. In a
            recipe it can be left out, and is then taken from the cases.
        classes: outputs.
        encoder: of the pictures: ``small``, ``resnet18``, ``efficientnet_b0`` or ``densenet121``; one for all, or a
            list with one each.
        spatial_dims: 2 or 3.
        fuse: ``early``, ``late`` or ``cross_attention``.
        width: of an input's vector, the hidden layer, a token, and the last map of the encoder ``small``.
        heads: of every attention.
        dropout: share of the joined features that are left out in training.
        missing: what is shown where a case lacks an input: ``mean``, zeros after standardisation; or ``learnt``, a
            coarse picture or a row (:class:`~pellucid.nets.stand_ins.StandIns`).

    Raises:
        UsageError: options that do not fit together.
    """

    def __init__(
        self, *, inputs: Inputs = ({"kind": "image", "in_channels": 1}, {"kind": "table", "features": 12}),
        classes: int = 2, encoder: str | Sequence[str] = "small", spatial_dims: int = 2, fuse: Fuse = "late",
        width: int = 32, heads: int = 4, dropout: float = 0.0, missing: Literal["mean", "learnt"] = "mean",
    ) -> None:  # fmt: skip
        super().__init__()
        self.inputs = check_inputs(inputs)
        self.fuse = fuse
        if fuse not in ("early", "late", "cross_attention"):
            raise UsageError(f"fuse={fuse!r}: choose 'early', 'late' or 'cross_attention'")
        if fuse == "cross_attention" and (len(self.inputs) < 2 or width % heads):
            raise UsageError(
                f"fuse='cross_attention' is between inputs, this network has {len(self.inputs)}" if width % heads == 0
                else f"width={width} cannot be divided between {heads} heads"
            )
        self.stand_ins = stand_ins(missing, self.inputs, spatial_dims)  # not last: the last part is called the head
        early = fuse == "early"
        self.encoders, self.parts, channels = _encoders(self.inputs, encoder, spatial_dims, width, early=early)
        self.encoder_names = {f"encoders.{i}": e.kind for i, e in enumerate(self.encoders) if isinstance(e, Encoder)}
        tokens = fuse == "cross_attention"
        self.joints = nn.ModuleList(
            (Places(c, spatial_dims, width) if tokens else Vector(c, width)) if c else nn.Identity() for c in channels
        )
        if tokens:
            kinds = [i["kind"] for i in self.inputs]
            self.encoders = nn.ModuleList(
                Columns(i["features"], width) if k == "table" else e
                for i, k, e in zip(self.inputs, kinds, self.encoders)
            )
            self.crossing = nn.ModuleList(Block(width, heads, other=True) for _ in self.inputs)
            self.to_class = Block(width, heads, other=True)
            self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
            self.hidden: nn.Module = nn.LayerNorm(width)
        else:
            self.hidden = nn.Sequential(nn.ReLU(), nn.Linear(len(self.parts) * width, width), nn.ReLU())
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def stand_in(self, place: int, like: Tensor) -> Tensor | None:
        """What stands in for input number ``place``, as large as ``like``; None where it is the mean."""
        return None if self.stand_ins is None else self.stand_ins(place, like)

    def forward(self, *inputs: Tensor) -> Tensor:
        """``(B, C, *spatial)`` and ``(B, F)``, in the order of ``inputs``, to ``(B, K)``."""
        if len(inputs) != len(self.inputs):
            raise UsageError(f"the network is built for {len(self.inputs)} inputs, {len(inputs)} are given")
        features = [
            joint(run(_joined([inputs[i] for i in part])))
            for part, run, joint in zip(self.parts, self.encoders, self.joints)
        ]
        if self.fuse == "cross_attention":
            return self.head(self.dropout(self.hidden(self._crossed(features))))
        return self.head(self.dropout(self.hidden(torch.cat(features, dim=1))))

    def _crossed(self, tokens: list[Tensor]) -> Tensor:
        others = [torch.cat(tokens[:i] + tokens[i + 1 :], dim=1) for i in range(len(tokens))]
        tokens = [block(mine, other) for block, mine, other in zip(self.crossing, tokens, others)]
        start = self.class_token.expand(len(tokens[0]), -1, -1)
        return self.to_class(start, torch.cat(tokens, dim=1))[:, 0]


def check_inputs(inputs: Inputs) -> list[dict[str, Any]]:
    """What the inputs of a network are, checked.

    Raises:
        UsageError: no input, an unknown kind or key, a size that cannot be.
    """
    sizes = {"image": "in_channels", "table": "features"}
    found = []
    for number, given in enumerate(inputs):
        kind = dict(given).get("kind", "image")
        if kind not in sizes:
            raise UsageError(f"inputs: number {number + 1} has kind {kind!r}; choose 'image' or 'table'")
        size = dict(given).get(sizes[kind], 1 if kind == "image" else None)
        unknown = set(given) - {"kind", sizes[kind]}
        if unknown or isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise UsageError(
                f"inputs: number {number + 1} is {dict(given)}; give {{kind: {kind}, {sizes[kind]}: a number}}"
            )
        found.append({"kind": kind, sizes[kind]: size})
    if not found:
        raise UsageError("inputs: there is none; name at least one")
    return found


def _encoders(
    inputs: list[dict[str, Any]], names: str | Sequence[str], dims: int, width: int, *, early: bool
) -> tuple[nn.ModuleList, list[list[int]], list[int]]:
    """The encoders; the numbers of the inputs that go into each; the channels of their maps, 0 of a table's."""
    pictures = [i for i, x in enumerate(inputs) if x["kind"] == "image"]
    wanted = min(1, len(pictures)) if early else len(pictures)
    each = [names] * wanted if isinstance(names, str) else list(names)
    if len(each) != wanted:
        raise UsageError(f"encoder: {len(each)} are named, and there are {wanted} for the pictures; give one for all")
    parts = [pictures] if early and pictures else [[i] for i in pictures]
    parts = sorted(parts + [[i] for i, x in enumerate(inputs) if x["kind"] == "table"])
    made, channels = [], []
    for part in parts:
        first = inputs[part[0]]
        if first["kind"] == "table":
            made.append(table_encoder(first["features"], width))
            channels.append(0)
            continue
        count = sum(inputs[i]["in_channels"] for i in part)
        of_picture = picture_encoder(each.pop(0), in_channels=count, spatial_dims=dims, width=width)
        made.append(of_picture)
        channels.append(of_picture.channels[-1])
    return nn.ModuleList(made), parts, channels


def _joined(pictures: list[Tensor]) -> Tensor:
    """Pictures as the channels of one; a single input as it is.

    Raises:
        UsageError: they are on several grids.
    """
    if len(pictures) == 1:
        return pictures[0]
    grids = {tuple(x.shape[2:]) for x in pictures}
    if len(grids) > 1:
        raise UsageError(
            f"fuse='early' joins the pictures as channels, and they have {len(grids)} grids: "
            f"{', '.join(map(str, sorted(grids)))}; resample them to one, or use fuse: late"
        )
    return torch.cat(pictures, dim=1)
