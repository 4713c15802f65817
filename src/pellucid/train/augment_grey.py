"""Random changes of the grey values, as other scanners and exposures give them; a mask stays as it is.

Each draws anew for every case, and counts in shares of the case's own range of values, so that it does not matter
in which units the pictures come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.train.augment_base import Batch, bounds, uniform, wide

MODES = {1: "linear", 2: "bicubic", 3: "trilinear"}


@dataclass(frozen=True, kw_only=True)
class Gamma:
    """Another curve of exposure: ``v ** gamma`` for values counted from 0 to 1.

    Attributes:
        most: gamma lies between ``1 / most`` and ``most``, evenly in its logarithm.
    """

    most: float = 2.0

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Bend the grey values."""
        n = len(next(iter(images.values())))
        power = torch.exp(math.log(self.most) * uniform(n, generator))
        return {k: _bent(x, power) for k, x in images.items()}, mask


def _bent(x: Tensor, power: Tensor) -> Tensor:
    low, span = bounds(x)
    return low + span * ((x - low) / span.clamp(min=1e-12)).clamp(0, 1) ** wide(power, x)


@dataclass(frozen=True, kw_only=True)
class BiasField:
    """A smooth field added: uneven exposure, scatter, soft tissue in front.

    Attributes:
        strength: largest change, as a share of the picture's range.
        knots: random values along each axis that the field is interpolated between.
    """

    strength: float = 0.3
    knots: int = 4

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Add one field per case to each picture."""
        changed = {}
        for name, x in images.items():
            dims = x.ndim - 2
            rough = 2 * torch.rand(len(x), 1, *[self.knots] * dims, generator=generator) - 1
            field = F.interpolate(rough, size=x.shape[2:], mode=MODES[dims], align_corners=True).to(x)
            how_much = wide(self.strength * torch.rand(len(x), generator=generator), x)
            changed[name] = x + how_much * bounds(x)[1] * field
        return changed, mask


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Gaussian noise.

    Attributes:
        most: largest standard deviation, as a share of the picture's range.
    """

    most: float = 0.05

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Add noise of another strength to each case."""
        changed = {}
        for name, x in images.items():
            sd = wide(self.most * torch.rand(len(x), generator=generator), x) * bounds(x)[1]
            changed[name] = x + sd * torch.randn(x.shape, generator=generator).to(x)
        return changed, mask


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Gaussian blur.

    Attributes:
        most: largest standard deviation, in pixels.
    """

    most: float = 1.5

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Blur each case by another width."""
        sigma = self.most * torch.rand(len(next(iter(images.values()))), generator=generator)
        return {k: _blurred(x, sigma, self.most) for k, x in images.items()}, mask


def _blurred(x: Tensor, sigma: Tensor, most: float) -> Tensor:
    reach = max(1, math.ceil(3 * most))
    at = torch.arange(-reach, reach + 1.0)
    kernel = torch.exp(-0.5 * (at / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).to(x).repeat_interleave(x.shape[1], 0)
    conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[x.ndim - 2]
    flat = x.reshape(1, -1, *x.shape[2:])
    for dim in range(2, x.ndim):
        # Borders are continued one axis at a time: "replicate" takes any width, "reflect" only less than the picture.
        pad = [0] * (2 * (x.ndim - 2))
        pad[2 * (x.ndim - 1 - dim)] = pad[2 * (x.ndim - 1 - dim) + 1] = reach
        shape = [len(kernel), 1, *[1] * (x.ndim - 2)]
        shape[dim] = -1
        flat = conv(F.pad(flat, pad, mode="replicate"), kernel.reshape(shape), groups=len(kernel))
    return flat.reshape(x.shape)


@dataclass(frozen=True, kw_only=True)
class ColorJitter:
    """Brightness and contrast multiplied, as torchvision's ColorJitter does: what is darkest never gets darker.

    Brightness counts from the picture's smallest value, so that a black background stays black under it; contrast
    spreads about the mean. Saturation and hue are left out: grey pictures have neither.

    Attributes:
        brightness: largest change, as a share.
        contrast: largest change, as a share.
    """

    brightness: float = 0.2
    contrast: float = 0.2

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Change the brightness of each case, then its contrast."""
        changed = {}
        for name, x in images.items():
            bright = wide(1 + self.brightness * uniform(len(x), generator), x)
            spread = wide(1 + self.contrast * uniform(len(x), generator), x)
            low = bounds(x)[0]
            lit = low + (x - low) * bright
            mean = lit.mean(tuple(range(1, x.ndim)), keepdim=True)
            changed[name] = torch.maximum(mean + (lit - mean) * spread, low)
        return changed, mask


@dataclass(frozen=True, kw_only=True)
class Invert:
    """Bright for dark in some of the cases, as films and MONOCHROME1 show it.

    Attributes:
        p: probability.
    """

    p: float = 0.1

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Turn the grey values of some cases round."""
        chosen = torch.rand(len(next(iter(images.values()))), generator=generator) < self.p
        changed = {}
        for name, x in images.items():
            low, span = bounds(x)
            changed[name] = torch.where(wide(chosen, x) > 0, 2 * low + span - x, x)
        return changed, mask
