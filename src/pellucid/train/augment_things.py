"""Things that lie in or on a picture of a patient: devices and letters, opacities, frames. For 2-D pictures."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.train.augment_base import Batch, bounds, places, want_2d, wide


@dataclass(frozen=True, kw_only=True)
class PasteDevices:
    """Bright things on the picture: a generator or electrode, wires and tubes, letter-like marks. The mask stays.

    Attributes:
        p: probability that a case gets any.
        most: largest number of each of the three kinds.
    """

    p: float = 0.5
    most: int = 2

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Draw onto some of the cases; all pictures of a case get the same."""
        want_2d("paste_devices", images)
        first = next(iter(images.values()))
        at = places(tuple(first.shape[2:]))
        drawn = torch.zeros(len(first), 1, *first.shape[2:])
        for case in drawn:
            if _one(generator) < self.p:
                for kind in (_generator, _wire, _mark):
                    for _ in range(int(torch.randint(0, self.most + 1, (), generator=generator))):
                        case[0] = torch.maximum(case[0], kind(at, generator))
        changed = {}
        for name, x in images.items():
            low, span = bounds(x)
            cover = (drawn > 0).to(x) * 0.9
            changed[name] = x * (1 - cover) + cover * (low + span * drawn.to(x))
        return changed, mask


def _one(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _generator(at: Tensor, generator: torch.Generator) -> Tensor:
    """A rounded block or disc of 2 to 7 % of the width, anywhere in the upper three quarters."""
    y, x = at[0] - _one(generator, 0.05, 0.8), at[1] - _one(generator, 0.05, 0.95)
    angle, long, short = _one(generator, 0, math.pi), _one(generator, 0.015, 0.07), _one(generator, 0.4, 1.0)
    u, v = math.cos(angle) * y - math.sin(angle) * x, math.sin(angle) * y + math.cos(angle) * x
    inside = (u.abs() / long) ** 3 + (v.abs() / (long * short)) ** 3 <= 1
    return inside * _one(generator, 0.75, 1.1)


def _wire(at: Tensor, generator: torch.Generator) -> Tensor:
    """A curve through three random points, 0.3 to 1.2 % wide."""
    ends = torch.rand(3, 2, generator=generator)
    t = torch.linspace(0, 1, 48)[:, None]
    path = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * (2 * ends[1] - ends.mean(0)) + t**2 * ends[2]
    nearest = torch.full(at.shape[1:], 9.0)
    for start, end in itertools.pairwise(path[..., None, None]):
        step, off = end - start, at - start
        along = ((off * step).sum(0) / step.square().sum().clamp(min=1e-9)).clamp(0, 1)
        nearest = torch.minimum(nearest, (off - along * step).square().sum(0))
    return (nearest <= _one(generator, 0.003, 0.012) ** 2) * _one(generator, 0.6, 1.1)


def _mark(at: Tensor, generator: torch.Generator) -> Tensor:
    """Random strokes on a grid of five by four, as large as a side letter, in the outer parts of the picture."""
    tall = _one(generator, 0.03, 0.08)
    top, left = _one(generator, 0.0, 0.95), _one(generator, 0.0, 0.25)
    if _one(generator) < 0.5:
        left = 1 - left - tall
    cells = torch.rand(5, 4, generator=generator) < 0.55
    row, column = ((at[0] - top) / tall * 5).floor().long(), ((at[1] - left) / (0.8 * tall) * 4).floor().long()
    inside = (row >= 0) & (row < 5) & (column >= 0) & (column < 4)
    return (inside & cells[row.clamp(0, 4), column.clamp(0, 3)]) * _one(generator, 0.8, 1.1)


@dataclass(frozen=True, kw_only=True)
class Opacities:
    """Soft bright clouds, within the mask where there is one: consolidation, effusion. The mask stays, which teaches
    a segmenter to go on where a part of the organ is opaque.

    Attributes:
        p: probability that a case gets any.
        most: largest number of clouds.
        strength: largest share of the way to the bright tissue (the picture's 90th percentile).
    """

    p: float = 0.5
    most: int = 3
    strength: float = 0.9

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Brighten parts of some of the cases."""
        want_2d("opacities", images)
        first = next(iter(images.values()))
        at = places(tuple(first.shape[2:]))
        cloud = torch.zeros(len(first), 1, *first.shape[2:])
        for i, case in enumerate(cloud):
            if _one(generator) >= self.p:
                continue
            for _ in range(int(torch.randint(1, self.most + 1, (), generator=generator))):
                row, column = _centre(None if mask is None else mask[i].cpu(), at, generator)
                tall, broad = _one(generator, 0.03, 0.18), _one(generator, 0.03, 0.14)
                shape = torch.exp(-0.5 * (((at[0] - row) / tall) ** 2 + ((at[1] - column) / broad) ** 2) ** 2)
                case[0] = torch.maximum(case[0], self.strength * _one(generator) * shape)
        changed = {}
        for name, x in images.items():
            bright = wide(x.flatten(1).float().quantile(0.9, dim=1), x)
            changed[name] = x + cloud.to(x) * (bright - x).clamp(min=0)
        return changed, mask


def _centre(mask: Tensor | None, at: Tensor, generator: torch.Generator) -> tuple[float, float]:
    inside = None if mask is None else mask.nonzero()
    if inside is None or len(inside) == 0:
        return _one(generator), _one(generator)
    row, column = inside[int(torch.randint(0, len(inside), (), generator=generator))].tolist()
    return float(at[0, row, column]), float(at[1, row, column])


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A dark or bright frame over the borders: collimation, unexposed film, padding. What it hides is not in the mask.

    Attributes:
        p: probability that a case gets one.
        most: largest width on each side, as a share of the picture's.
    """

    p: float = 0.3
    most: float = 0.15

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Cover the borders of some of the cases."""
        want_2d("frame", images)
        first = next(iter(images.values()))
        n, at = len(first), places(tuple(first.shape[2:]))
        chosen = torch.rand(n, generator=generator) < self.p
        # Half of the sides stay free, as a frame seldom goes all the way round.
        sides = self.most * torch.rand(n, 4, generator=generator) * (torch.rand(n, 4, generator=generator) < 0.5)
        level = (torch.rand(n, generator=generator) < 0.3).float()
        top, left, bottom, right = (s[:, None, None] for s in sides.unbind(1))
        hidden = (at[0] < top) | (at[0] > 1 - bottom) | (at[1] < left) | (at[1] > 1 - right)
        hidden = (hidden & chosen[:, None, None])[:, None]
        changed = {}
        for name, x in images.items():
            low, span = bounds(x)
            changed[name] = torch.where(hidden.to(x.device), low + span * wide(level, x), x)
        if mask is not None:
            mask = torch.where(hidden[:, 0].to(mask.device), torch.zeros_like(mask), mask)
        return changed, mask
