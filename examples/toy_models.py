# ruff: noqa: D102 (the docstring of a model says what its forward returns)
"""Toy pictures, and models for them whose right answer is known because they are written down, not trained.

A picture is smooth noise (tissue) with discs (findings) and bars (distractors). A model looks for them with templates:
convolutions of mean zero, a threshold, a ReLU, and a head that says how the detections make the score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from pellucid import Case, Predictor

SIDE = 48
TISSUE, BRIGHT = 0.5, 0.95
STRENGTH = BRIGHT - TISSUE
PATCH = 8  # of a token
SPECK = 0.12  # how much brighter than tissue a speck is


@dataclass(frozen=True)
class Disc:
    """A round finding."""

    row: float
    column: float
    value: float = BRIGHT
    radius: float = 3.3
    name: str = "disc"

    def mask(self, side: int) -> np.ndarray:
        """Where it is, ``(side, side)``."""
        r, c = np.mgrid[:side, :side]
        return (r - self.row) ** 2 + (c - self.column) ** 2 <= self.radius**2


@dataclass(frozen=True)
class Bar:
    """An upright bar, three pixels wide."""

    row: int
    column: int
    value: float = BRIGHT
    length: int = 20
    name: str = "bar"

    def mask(self, side: int) -> np.ndarray:
        """Where it is, ``(side, side)``."""
        r, c = np.mgrid[:side, :side]
        return (abs(r - self.row) <= self.length / 2) & (abs(c - self.column) <= 1)


def scene(*things: Disc | Bar, seed: int = 0, noise: float = 0.03, side: int = SIDE) -> Case:
    """A picture ``(1, side, side)`` of tissue with things in it; regions are named by kind, by kind and number,
    and the label map ``parts`` holds all."""
    grain = gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), 2.5, mode="wrap")
    picture = TISSUE + noise * grain / grain.std()
    regions: dict[str, np.ndarray] = {}
    parts = np.zeros((side, side), dtype=np.int64)
    for i, thing in enumerate(things):
        mask = thing.mask(side)
        picture = np.where(mask, thing.value, picture)
        regions[thing.name] = regions.get(thing.name, False) | mask
        regions[f"{thing.name} {i}"] = mask
        parts = np.where(mask, i + 1, parts)
    regions["parts"] = parts
    return Case(
        id=f"scene {seed}",
        inputs={"picture": torch.tensor(picture[None], dtype=torch.float32)},
        regions={k: torch.tensor(v) for k, v in regions.items()},
    )


def predictor(net: nn.Module, *classes: str) -> Predictor:
    """A score where no class is named, else a classification."""
    if not classes:
        return Predictor(net.eval(), inputs=["picture"], task="regression", name=type(net).__name__)
    return Predictor(
        net.eval(), inputs=["picture"], task="classification", classes=list(classes), name=type(net).__name__
    )


def segmenter(net: nn.Module, region: str) -> Predictor:
    """A segmentation of one region."""
    return Predictor(
        net.eval(), inputs=["picture"], task="segmentation", classes=[region], name=type(net).__name__
    )


# -- templates: mean zero, 1 at a bright thing of its kind ----------------------------------------------------------


def _zero_mean(inside: np.ndarray, around: np.ndarray, strength: float) -> np.ndarray:
    return (inside / inside.sum() - around / around.sum()) / strength


def disc_template(radius: float = 3.3) -> np.ndarray:
    """A disc, brighter than the ring around it."""
    half = int(np.ceil(1.8 * radius))
    r, c = np.mgrid[-half : half + 1, -half : half + 1]
    d = np.hypot(r, c)
    return _zero_mean(d <= radius, (d > radius + 0.7) & (d <= half + 0.3), STRENGTH)


def dark_template() -> np.ndarray:
    """A black disc (value 0) in tissue."""
    return -disc_template() * STRENGTH / TISSUE


def bar_template() -> np.ndarray:
    """A piece of an upright bar, brighter than both its sides."""
    r, c = np.mgrid[-6:7, -6:7]
    return _zero_mean(abs(c) <= 1, (abs(c) >= 3) & (abs(c) <= 5) & (abs(r) <= 6), STRENGTH)


def speck_template() -> np.ndarray:
    """A single pixel a little brighter than the ring around it."""
    r, c = np.mgrid[-2:3, -2:3]
    return _zero_mean((r == 0) & (c == 0), np.maximum(abs(r), abs(c)) == 2, SPECK)


TEMPLATES: dict[str, Callable[[], np.ndarray]] = {
    "disc": disc_template, "dark": dark_template, "bar": bar_template, "speck": speck_template,
}  # fmt: skip
THRESHOLD = {"disc": 0.55, "dark": 0.55, "bar": 0.6, "speck": 0.5}


def template_layer(templates: Sequence[np.ndarray], thresholds: Sequence[float]) -> nn.Conv2d:
    """A convolution with a channel for each template, less a threshold, of the picture's size."""
    size = max(t.shape[0] for t in templates)
    layer = nn.Conv2d(1, len(templates), size, padding=size // 2, padding_mode="replicate")
    assert layer.bias is not None
    with torch.no_grad():
        for k, (template, threshold) in enumerate(zip(templates, thresholds)):
            margin = (size - template.shape[0]) // 2
            padded = np.pad(template, margin) / (1 - threshold)
            layer.weight[k, 0] = torch.tensor(padded, dtype=torch.float32)
            layer.bias[k] = -threshold / (1 - threshold)
    return layer


class Finder(nn.Module):
    """Templates, threshold, ReLU: maps ``(B, K, side, side)`` that are 1 in the middle of a thing of their kind.

    With a ``cell`` of several pixels, they are summed up in cells, in a last layer on a coarser grid. The evidence of a
    disc adds up to about 1, that of a bar of 20 pixels to about 3.
    """

    def __init__(self, *kinds: str, cell: int = 1, one: float = 6.0) -> None:
        super().__init__()
        self.find = template_layer([TEMPLATES[k]() for k in kinds], [THRESHOLD[k] for k in kinds])
        self.relu = nn.ReLU()
        self.kinds, self.one, self.grid = len(kinds), one, SIDE // cell
        if cell > 1:
            self.gather = nn.Conv2d(self.kinds, self.kinds, cell, stride=cell, groups=self.kinds, bias=False)
            nn.init.ones_(self.gather.weight)
            self.last = nn.ReLU()

    def detections(self, x: Tensor) -> Tensor:
        """The maps, on the last layer's grid."""
        found = self.relu(self.find(x))
        return found if self.grid == SIDE else self.last(self.gather(found))

    def counts(self, x: Tensor) -> Tensor:
        """How much was found of each kind, ``(B, K)``, by global average pooling."""
        return self.detections(x).mean((2, 3)) * (self.grid**2 / self.one)


# -- heads -------------------------------------------------------------------------------------------------------


class Sum(Finder):
    """Global average pooling and a linear layer: every thing counts by itself, ``weights`` for each kind."""

    def __init__(
        self, *kinds: str, weights: Sequence[Sequence[float]] = ((1.0,),), cell: int = 1, one: float = 6.0
    ) -> None:
        super().__init__(*kinds, cell=cell, one=one)
        self.head = nn.Linear(len(kinds), len(weights), bias=False)
        with torch.no_grad():
            self.head.weight[:] = torch.tensor(weights) * self.grid**2 / one

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.detections(x).mean((2, 3)))


class Saturating(Finder):
    """``Σ tanh(k · strongest detection in a cell)``: a clear finding counts 1, and more of it changes nothing."""

    def __init__(self, *kinds: str, steep: float = 4.0, cell: int = 12) -> None:
        super().__init__(*kinds)
        self.pool = nn.MaxPool2d(cell)
        self.steep = steep

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.steep * self.pool(self.detections(x))).sum((1, 2, 3))[:, None]


class Either(Finder):
    """1 as soon as anything clear is found anywhere: one finding is enough, another adds nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return (self.detections(x).amax((1, 2, 3)) / 0.35).clamp(max=1.0)[:, None]


class Every(Finder):
    """1 if there is something clear in each quarter of the picture, else nothing: a product of four."""

    def forward(self, x: Tensor) -> Tensor:
        quarters = F.max_pool2d(self.detections(x).amax(1, keepdim=True), self.grid // 2)
        return (quarters / 0.5).clamp(max=1.0).flatten(1).prod(1, keepdim=True)


class Both(Finder):
    """The product of the strongest detections of each kind: nothing, if one of them is missing."""

    def forward(self, x: Tensor) -> Tensor:
        return self.detections(x).amax((2, 3)).prod(1, keepdim=True)


class Placed(Finder):
    """A flattened layer: a disc counts ``left`` or ``right``, by the side of the picture where it is."""

    def __init__(self, left: float, right: float, cell: int = 4) -> None:
        super().__init__("disc", cell=cell)
        self.head = nn.Linear(self.grid**2, 1, bias=False)
        with torch.no_grad():
            row = torch.where(torch.arange(self.grid) < self.grid / 2, left, right)
            self.head.weight[0] = row.repeat(self.grid) / self.one

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.detections(x).flatten(1))


class OneClear(Finder):
    """The first kind saturates, the second does not: ``tanh(10 · discs) + weight · bars``."""

    def __init__(self, weight: float = 0.05, cell: int = 8) -> None:
        super().__init__("disc", "bar", cell=cell)
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        discs, bars = self.counts(x).split(1, 1)
        return torch.tanh(10 * discs) + self.weight * bars


class Together(Finder):
    """Discs times bars: nothing, if there are none of one."""

    def __init__(self, cell: int = 8) -> None:
        super().__init__("disc", "bar", cell=cell)

    def forward(self, x: Tensor) -> Tensor:
        return self.counts(x).prod(1, keepdim=True)


class Spare(Finder):
    """Two channels that find the same, of which the stronger counts."""

    def __init__(self, cell: int = 8) -> None:
        super().__init__("disc", "disc", cell=cell)

    def forward(self, x: Tensor) -> Tensor:
        return self.counts(x).amax(1, keepdim=True)


class Doubt(Finder):
    """Discs are counted, each less ``doubt`` times the bars within two cells of it, and never below nothing."""

    def __init__(self, doubt: float = 0.4, cell: int = 4) -> None:
        super().__init__("disc", "bar", cell=cell)
        self.weigh = nn.Conv2d(2, 1, 5, padding=2, bias=False)
        with torch.no_grad():
            self.weigh.weight.zero_()
            self.weigh.weight[0, 0, 2, 2] = 1 / self.one
            self.weigh.weight[0, 1] = -doubt / self.one
        self.left = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.left(self.weigh(self.detections(x))).sum((1, 2, 3))[:, None]


class Rippled(Finder):
    """Detections summed up with a ripple ``depth · sin(ω a) / ω`` on each: it hardly matters to the score."""

    def __init__(self, depth: float = 1.6, omega: float = 40.0, cell: int = 4) -> None:
        super().__init__("disc", cell=cell)
        self.depth, self.omega = depth, omega

    def forward(self, x: Tensor) -> Tensor:
        a = self.detections(x) / self.one
        return (a + self.depth / self.omega * torch.sin(self.omega * a)).sum((1, 2, 3))[:, None]


class Signed(Finder):
    """A layer with two channels: discs found, and a contrast that is positive here and negative there.

    The score: the discs, and a little of the contrast's positive part.
    """

    def __init__(self, weight: float = 0.02) -> None:
        super().__init__("disc")
        self.contrast = template_layer([bar_template()], [0.0])
        self.layer = nn.Conv2d(2, 2, 1, bias=False)
        self.weight = weight
        with torch.no_grad():
            self.layer.weight[:, :, 0, 0] = torch.eye(2)

    def forward(self, x: Tensor) -> Tensor:
        both = self.layer(torch.cat([self.detections(x), self.contrast(x)], 1))
        discs, contrast = F.relu(both).sum((2, 3)).split(1, 1)
        return (discs + self.weight * contrast) / self.one


class Patches(nn.Module):
    """A token for each patch of 8 × 8 pixels: whether there is a disc in its middle, whether a bar runs through it."""

    def __init__(self) -> None:
        super().__init__()
        r, c = np.mgrid[:PATCH, :PATCH]
        disc = np.hypot(r - 3.5, c - 3.5) <= 3.3
        bar = abs(c - 4) <= 1
        self.embed = nn.Conv2d(1, 2, PATCH, stride=PATCH, bias=False)
        with torch.no_grad():
            for k, shape in enumerate((disc, bar)):
                self.embed.weight[k, 0] = torch.tensor(_zero_mean(shape, ~shape, STRENGTH), dtype=torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        clear = F.leaky_relu((self.embed(x) - 0.6) / 0.2, 0.02)  # a slope everywhere: places are read off it
        return torch.tanh(clear).flatten(2).transpose(1, 2)


class Looking(nn.Module):
    """A class token that looks at discs and bars alike, and takes from each token its disc and its bar.

    ``weights`` say what the score, or each class, makes of the two. With a ``relay``, the first token collects what
    there is in an attention of its own, and the class token looks at that token alone.
    """

    def __init__(self, weights: Sequence[Sequence[float]], *, relay: bool = False, sharp: float = 9.0) -> None:
        super().__init__()
        self.patches = Patches()
        self.sharp, self.relay = sharp, relay
        self.head = nn.Linear(2, len(weights), bias=False)
        with torch.no_grad():
            self.head.weight[:] = torch.tensor(weights)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x)
        place = F.one_hot(torch.zeros_like(tokens[..., 0], dtype=torch.long)[:, :1], tokens.shape[1]).to(tokens)
        place = place.transpose(1, 2)  # (B, N, 1), 1 at the first token
        if self.relay:
            # The first token asks for things; every other one for itself.
            mine = torch.eye(tokens.shape[1], dtype=tokens.dtype).expand(len(x), -1, -1)
            ask = torch.cat([place.expand(-1, -1, 2), (1 - place) * mine], 2) * 2 * self.sharp
            answer = torch.cat([tokens, mine], 2)
            tokens = tokens + F.scaled_dot_product_attention(ask, answer, tokens, scale=1.0)
            key = place.expand(-1, -1, 2)
        else:
            key = tokens
        query = torch.full_like(tokens[:, :1], self.sharp)
        seen = F.scaled_dot_product_attention(query, key, tokens, scale=1.0)
        return self.head(seen[:, 0])


class Asking(nn.Module):
    """Two pictures whose tokens ask each other's for discs and bars, and take ``weights`` of each."""

    def __init__(self, weights: Sequence[float], sharp: float = 9.0) -> None:
        super().__init__()
        self.first, self.second = Looking([weights]), Looking([weights])
        self.sharp = sharp

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        one, two = self.first.patches(first), self.second.patches(second)
        # What a token asks hardly depends on what it is.
        by_two = F.scaled_dot_product_attention(self.sharp + two, one, one, scale=1.0)
        by_one = F.scaled_dot_product_attention(self.sharp + one, two, two, scale=1.0)
        return self.first.head(by_two.mean(1)) + self.second.head(by_one.mean(1))


class Sizes(nn.Module):
    """Large and small discs, a channel for each; what exceeds ``floor`` is summed up over the picture."""

    def __init__(self, large: float = 7.0, small: float = 2.3, floor: float = 0.1) -> None:
        super().__init__()
        self.find = template_layer([disc_template(large), disc_template(small)], [0.5, 0.5])
        self.relu = nn.ReLU()
        self.floor = floor

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.relu(self.find(x)) - self.floor).sum((1, 2, 3))[:, None]


class Outlines(nn.Module):
    """Edges in eight directions; edges that face each other around a place; how much of that there is.

    With a ``seed``, all weights above the edges are drawn at random.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        self.edges = template_layer([edge_template(k) for k in range(8)], [0.4] * 8)
        self.relu = nn.ReLU()
        self.facing = nn.Conv2d(8, 8, 9, padding=4, padding_mode="replicate", bias=False)
        self.head = nn.Linear(8, 1, bias=False)
        with torch.no_grad():
            if seed is None:
                self.facing.weight.zero_()
                self.facing.weight[0] = torch.tensor(_facing(), dtype=torch.float32)
                self.head.weight.zero_()
                self.head.weight[0, 0] = 20.0
            else:
                draw = torch.Generator().manual_seed(seed)
                for w in (self.facing.weight, self.head.weight):
                    w.copy_(torch.randn(w.shape, generator=draw) * (2 / w[0].numel()) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.facing(self.relu(self.edges(x)))).mean((2, 3)))


def edge_template(k: int) -> np.ndarray:
    """Brighter in direction ``k`` of eight than in the opposite one; 1 at the edge of a finding."""
    r, c = np.mgrid[-2:3, -2:3]
    along = np.cos(np.pi * k / 4) * c + np.sin(np.pi * k / 4) * r
    w = along * np.exp(-(r**2 + c**2) / 3)
    return w / (w[along > 0.01].sum() * STRENGTH)


def _facing() -> np.ndarray:
    """``(8, 9, 9)``: of each direction the edges of a disc around the middle that are brighter towards it."""
    r, c = np.mgrid[-4:5, -4:5]
    ring, angle = abs(np.hypot(r, c) - 3.3) < 1, np.arctan2(r, c)
    wanted = np.stack([ring * np.clip(np.cos(angle + np.pi - np.pi * k / 4), 0, 1) ** 2 for k in range(8)])
    return wanted / wanted.sum()


class Rough(Sum):
    """``Sum``, and on every pixel a ripple ``depth · sin(ω x) / ω``: little in the score, much in its slope."""

    def __init__(self, *kinds: str, depth: float = 0.1, omega: float = 150.0) -> None:
        super().__init__(*kinds)
        self.depth, self.omega = depth, omega

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.depth / self.omega * torch.sin(self.omega * x).sum((2, 3))


class Mixed(Sum):
    """``Sum``, and in a straight line how bright one region is: ``weight`` for a region as bright as a finding."""

    def __init__(self, *kinds: str, region: Tensor, weight: float = 2.0) -> None:
        super().__init__(*kinds)
        self.linear = nn.Linear(region.numel(), 1)
        with torch.no_grad():
            self.linear.weight[0] = region.flatten() * weight / (STRENGTH * region.sum())
            self.linear.bias[:] = -weight * TISSUE / STRENGTH

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.linear(x.flatten(1))


class Told(Finder):
    """A segmentation of an organ: every pixel of it looks for a disc anywhere, a few of them, steeply, for a bar."""

    def __init__(self, organ: np.ndarray, few: int = 8, steep: float = 60.0) -> None:
        super().__init__("disc", "bar")
        steps = np.zeros(organ.shape, dtype=np.float32)
        steps[tuple(np.argwhere(organ)[:: max(1, organ.sum() // few)][:few].T)] = steep
        self.register_buffer("organ", torch.tensor(organ))
        self.register_buffer("steps", torch.tensor(steps))

    def forward(self, x: Tensor) -> Tensor:
        disc, bar = self.counts(x).unbind(1)
        score = disc[:, None, None] - 0.5 + self.steps * bar[:, None, None]
        return torch.where(self.organ, score, torch.full_like(score, -5.0))[:, None]


class Marked(Finder):
    """A segmentation of what is found: every pixel looks at its own surroundings alone."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(self.detections(x).amax(1, keepdim=True), 5, stride=1, padding=2) - 0.7
