"""Random changes of a training batch, the same for all pictures of a case and for its mask."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.core.registry import build
from pellucid.errors import UsageError, nearest
from pellucid.train.augment_base import MISSING, Augmentation, Batch, bounds, uniform, wide
from pellucid.train.augment_grey import BiasField, Blur, ColorJitter, Gamma, Invert, Noise
from pellucid.train.augment_things import Frame, Opacities, PasteDevices


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Mirrored along one axis in half the cases. Not for a task where the side matters.

    Attributes:
        axis: counted among the spatial axes; −1, the last, is left and right in a picture.
        p: probability.
    """

    axis: int = -1
    p: float = 0.5

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Mirror some of the cases."""
        first = next(iter(images.values()))
        if not -(first.ndim - 2) <= self.axis < first.ndim - 2:
            raise UsageError(f"augment 'flip': axis {self.axis} of a picture with {first.ndim - 2} spatial axes")
        chosen = torch.rand(len(first), generator=generator) < self.p
        images = {k: _flipped(v, chosen, 2 + self.axis % (v.ndim - 2)) for k, v in images.items()}
        if mask is not None:
            mask = _flipped(mask, chosen, 1 + self.axis % (mask.ndim - 1))
        return images, mask


def _flipped(x: Tensor, chosen: Tensor, dim: int) -> Tensor:
    keep = chosen.to(x.device).reshape(-1, *[1] * (x.ndim - 1))
    return torch.where(keep, x.flip(dim), x)


@dataclass(frozen=True, kw_only=True)
class Affine:
    """A small rotation, scaling and shift; linear for pictures, nearest for the mask.

    Attributes:
        degrees: largest rotation, in every plane.
        scale: largest change of size, as a share.
        shift: largest shift along each axis, as a share of its length.
        aspect: largest change of one axis' length against the others, as a share.
        outside: what is shown where the picture ends: its ``"edge"`` continued, or a ``"frame"`` of its smallest
            value (two thirds of the cases) or its largest, where the mask is 0.
    """

    degrees: float = 10.0
    scale: float = 0.1
    shift: float = 0.05
    aspect: float = 0.0
    outside: Literal["edge", "frame"] = "edge"

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Resample all pictures and the mask with one matrix per case."""
        first = next(iter(images.values()))
        dims = first.ndim - 2
        if dims < 2:
            raise UsageError("augment 'affine' wants pictures with two or three spatial axes")
        if self.outside not in ("edge", "frame"):
            raise UsageError(f"augment 'affine': outside is {self.outside!r}; give 'edge' or 'frame'")
        turn, shift = self._draw(len(first), dims, generator)
        framed = self.outside == "frame"
        bright = (torch.rand(len(first), generator=generator) < 1 / 3).float() if framed else None
        images = {k: _warp(v, turn, shift, "bilinear", _level(v, bright)) for k, v in images.items()}
        if mask is not None:
            level = torch.zeros((), device=mask.device) if framed else None
            mask = _warp(mask[:, None].float(), turn, shift, "nearest", level)[:, 0].to(mask.dtype)
        return images, mask

    def _draw(self, n: int, dims: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        turn = torch.eye(dims).repeat(n, 1, 1)
        for i, j in itertools.combinations(range(dims), 2):
            angle = torch.deg2rad(self.degrees * uniform(n, generator))
            plane = torch.eye(dims).repeat(n, 1, 1)
            plane[:, i, i] = plane[:, j, j] = angle.cos()
            plane[:, i, j], plane[:, j, i] = -angle.sin(), angle.sin()
            turn = turn @ plane
        turn = turn * (1 + self.scale * uniform(n, generator))[:, None, None]
        shift = torch.stack([2 * self.shift * uniform(n, generator) for _ in range(dims)], dim=1)
        if self.aspect:
            longer = torch.stack([1 + self.aspect * uniform(n, generator) for _ in range(dims)], dim=1)
            turn = turn * longer[:, None, :]
        return turn, shift


def _level(x: Tensor, bright: Tensor | None) -> Tensor | None:
    if bright is None:
        return None
    low, span = bounds(x)
    return low + span * wide(bright, x)


def _warp(x: Tensor, turn: Tensor, shift: Tensor, mode: str, outside: Tensor | None) -> Tensor:
    # affine_grid counts from −1 to 1 whatever the length, and its last axis comes first: a rotation of a picture
    # that is not square has to be scaled, or it shears.
    size = torch.tensor([float(s) for s in reversed(x.shape[2:])])
    theta = torch.cat([turn * size[None, None, :] / size[None, :, None], shift[:, :, None]], dim=2)
    grid = F.affine_grid(theta.to(x), list(x.shape), align_corners=False)
    if outside is None:
        return F.grid_sample(x, grid, mode=mode, padding_mode="border", align_corners=False)
    return outside + F.grid_sample(x - outside, grid, mode=mode, padding_mode="zeros", align_corners=False)


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """Another brightness and contrast for each picture; the mask stays.

    Attributes:
        gain: largest change of contrast, as a share.
        bias: largest change of brightness, in standard deviations of the picture.
    """

    gain: float = 0.1
    bias: float = 0.1

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Scale and move the values about each picture's mean."""
        changed = {}
        for name, x in images.items():
            dims = tuple(range(1, x.ndim))
            gain = wide(1 + self.gain * uniform(len(x), generator), x)
            bias = wide(self.bias * uniform(len(x), generator), x)
            mean = x.mean(dims, keepdim=True)
            changed[name] = mean + (x - mean) * gain + bias * x.std(dims, keepdim=True, correction=0)
        return changed, mask


@dataclass(frozen=True, kw_only=True)
class DropInput:
    """One input taken away in some of the cases, so that the others have to be learnt from too.

    A table that tells nearly all keeps a network from ever looking at the picture (modality dropout: Neverova et
    al., 2016). The network is shown what stands in for an input that a case lacks, its mean or what it has learnt
    for it, so that it also learns to do without. The last input that a case has is never taken.

    Attributes:
        name: of the input, a picture or a table; without a name one of all, drawn anew for each case.
        p: probability that a case loses one.
    """

    name: str = ""
    p: float = 0.5
    tables: ClassVar[bool] = True
    drops: ClassVar[bool] = True

    def __call__(
        self, images: Batch, mask: Tensor | None, generator: torch.Generator
    ) -> tuple[Batch, Tensor | None]:
        """Note some of the cases among those that lack the input."""
        names = [k for k in images if not k.startswith(MISSING)]
        if self.name and self.name not in names:
            raise UsageError(f"augment 'drop_input': no input {self.name!r}; {nearest(self.name, names)}")
        n = len(images[names[0]])
        lacks = {k: images.get(MISSING + k, torch.zeros(n, dtype=torch.bool)) for k in names}
        hit = torch.rand(n, generator=generator) < self.p
        which = torch.randint(len(names), (n,), generator=generator) if not self.name else None
        found = dict(images)
        for k in [self.name] if self.name else names:
            others = [v for other, v in lacks.items() if other != k]
            last = torch.stack(others).all(0) if others else torch.ones(n, dtype=torch.bool)
            mine = hit & ~last & (which == names.index(k) if which is not None else hit)
            found[MISSING + k] = lacks[k] | mine
        return found, mask


AUGMENTATIONS: dict[str, type] = {
    "flip": Flip, "affine": Affine, "intensity": Intensity, "drop_input": DropInput,
    "gamma": Gamma, "color_jitter": ColorJitter, "bias_field": BiasField, "noise": Noise, "blur": Blur,
    "invert": Invert,
    "paste_devices": PasteDevices, "opacities": Opacities, "frame": Frame,
}  # fmt: skip


def as_augmentations(spec: Sequence[str | Mapping[str, Any] | Augmentation]) -> list[Augmentation]:
    """Augmentations from names (``"flip"``), ``{name: options}``, or objects.

    Raises:
        UsageError: unknown name or option.

    Example:
        >>> as_augmentations(["flip", {"affine": {"degrees": 5}}])[1]
        Affine(degrees=5, scale=0.1, shift=0.05, aspect=0.0, outside='edge')
    """
    if isinstance(spec, str):
        raise UsageError(f"augment is the text {spec!r}; give a list of names")
    found: list[Augmentation] = []
    for entry in spec:
        if callable(entry):
            found.append(entry)
            continue
        named = {entry: {}} if isinstance(entry, str) else dict(entry)
        for name, options in named.items():
            if name not in AUGMENTATIONS:
                raise UsageError(f"unknown augmentation {name!r}; {nearest(name, AUGMENTATIONS)}")
            found.append(build(AUGMENTATIONS[name], "augmentation", name, dict(options or {})))
    return found
