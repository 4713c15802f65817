"""What "absent" means: the value that stands in for a part of the input that is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid.errors import UsageError, nearest

if TYPE_CHECKING:
    from pellucid.core.predictor import Predictor

KINDS = ("zero", "constant", "mean", "blur", "uniform", "gaussian", "cohort", "air")
EACH = "background"  # not a stand-in: each background case in turn, and the mean of what the model says
OTHER_NAMES = {"noise": "uniform"}


@dataclass(frozen=True, kw_only=True)
class Fill:
    """A stand-in for the input, in the image's own units. Tables are always filled with their training mean.

    Attributes:
        kind: ``"zero"``; ``"constant"`` (``value``); ``"mean"``, each channel's mean over the picture; ``"blur"``,
            a Gaussian of ``sigma`` pixels; ``"uniform"`` (or ``"noise"``), noise between the channel's minimum and
            maximum; ``"gaussian"``, normal noise with the channel's mean and sd; ``"cohort"``, the mean of the
            background cases; ``"air"``, −1000 HU; ``"background"``, of methods over features alone, each background
            case in turn, tables too, and the mean of the model's answers.
        value: of a constant.
        sigma: of the blur, in pixels; an eighth of the shortest side if None.

    Example:
        >>> Fill(kind="constant", value=0.5).describe()
        {'kind': 'constant', 'value': 0.5}
    """

    kind: str = "zero"
    value: float = 0.0
    sigma: float | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown kind, and numbers that fill with NaN."""
        object.__setattr__(self, "kind", OTHER_NAMES.get(self.kind, self.kind))
        if self.kind not in (*KINDS, EACH):
            raise UsageError(f"unknown fill {self.kind!r}; {nearest(self.kind, (*KINDS, EACH))}")
        if not isfinite(self.value):
            raise UsageError(f"fill value {self.value}: give a finite number in the image's units")
        if self.sigma is not None and not (isfinite(self.sigma) and self.sigma > 0):
            raise UsageError(f"fill sigma={self.sigma}: give a positive number of pixels")

    def describe(self) -> dict[str, Any]:
        """Plain values, only those that matter for the kind."""
        extra: dict[str, Any] = {}
        if self.kind == "constant":
            extra["value"] = self.value
        if self.kind == "blur":
            extra["sigma"] = self.sigma
        return {"kind": self.kind, **extra}

    def of(
        self,
        name: str,
        x: Tensor,
        predictor: Predictor,
        generators: list[torch.Generator],
        background: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """The stand-in for ``x`` ``(B, C, *spatial)`` or ``(B, F)``, of the same shape.

        Args:
            name: of the input.
            x: the input.
            predictor: knows the training mean of a table.
            generators: one seeded generator per case, for ``"uniform"`` and ``"gaussian"``.
            background: the same input of the background cases, ``(R, C, *spatial)``, for ``"cohort"``.
            weights: ``(R,)``, of these cases, adding up to one; all alike if None.

        Raises:
            UsageError: ``"cohort"`` without background cases; ``"background"``, which is no single stand-in.
        """
        if self.kind == EACH:
            raise UsageError(
                "fill 'background' puts each background case in turn: kernel_shap, lime and feature_ablation do so; "
                "take fill 'cohort', the mean of these cases, here"
            )
        if x.ndim == 2:
            return predictor.reference(name, x)
        dims = tuple(range(2, x.ndim))
        if self.kind == "zero":
            return torch.zeros_like(x)
        if self.kind == "constant":
            return torch.full_like(x, self.value)
        if self.kind == "air":
            return torch.full_like(x, -1000.0)
        if self.kind == "mean":
            return x.mean(dims, keepdim=True).expand_as(x).clone()
        if self.kind == "blur":
            return blur(x, self.sigma if self.sigma is not None else min(x.shape[2:]) / 8)
        if self.kind == "cohort":
            if background is None:
                raise UsageError(
                    "fill 'cohort' is the mean of the background cases, and there are none; give background=[…] "
                    "(in a recipe: background: a number of training cases), or another fill"
                )
            usual = background.mean(0) if weights is None else torch.tensordot(weights.to(background), background, 1)
            return usual.to(x).expand_as(x).clone()
        if self.kind == "gaussian":
            sd, mean = torch.std_mean(x, dims, correction=0, keepdim=True)
            return mean + sd * torch.stack([torch.randn(x.shape[1:], generator=g) for g in generators]).to(x)
        low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
        noise = torch.stack([torch.rand(x.shape[1:], generator=g) for g in generators]).to(x)
        return low + noise * (high - low)


def as_fill(value: Any) -> Fill:
    """A Fill from a Fill, a kind, a number (constant) or a mapping of its fields."""
    if isinstance(value, Fill):
        return value
    if isinstance(value, str):
        return Fill(kind=value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Fill(kind="constant", value=float(value))
    if isinstance(value, dict):
        known = ("kind", "value", "sigma")
        for key in value:
            if key not in known:
                raise UsageError(f"fill has no option {key!r}; {nearest(key, known)}")
        return Fill(**value)
    raise UsageError(f"fill {value!r}: give one of {', '.join(KINDS)}, or a number in the image's units")


def blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``(B, C, *spatial)``, separable, borders replicated, kernel cut at 3 sigma."""
    for dim in range(2, x.ndim):
        radius = max(1, min(int(3 * sigma + 0.5), x.shape[dim] - 1))
        if x.shape[dim] == 1:
            continue
        t = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
        kernel = torch.exp(-0.5 * (t / sigma) ** 2)
        kernel = kernel / kernel.sum()
        rows = x.movedim(dim, -1)
        flat = rows.reshape(-1, 1, rows.shape[-1])
        flat = torch.nn.functional.pad(flat, (radius, radius), mode="replicate")
        flat = torch.nn.functional.conv1d(flat, kernel[None, None])
        x = flat.reshape(rows.shape).movedim(-1, dim)
    return x
