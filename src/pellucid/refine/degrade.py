"""Masks made worse on purpose, to see what a refined map owes to the quality of its mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi, prod
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from pellucid.errors import InputError, UsageError
from pellucid.refine.mask import widened

Kind = Literal["erosion", "dilation", "shift", "dropout", "threshold"]
KINDS: tuple[str, ...] = get_args(Kind)
DRAWN = ("shift", "dropout")  # kinds with something random in them
FARTHEST = 0.5  # of the mask's diameter: the shift at the last level
BLOB = 0.5  # of the mask's inner radius: the radius of what drops out
LOGIT = 6.0  # the cut at the last level: a probability of 0.0025 or 0.9975


@dataclass(frozen=True, eq=False)
class Degraded:
    """A mask made worse.

    Attributes:
        kind: how.
        level: from 1, the mildest.
        draw: which of those that chance made; of ``threshold`` 0 is a cut higher up and 1 one lower down.
        amount: what was done, in ``unit``.
        unit: ``mm``, ``pixels``, a share, or a probability.
        mask: bool ``(*spatial)``; it may be empty, and then ``note`` says so.
        note: what is wrong with it.
    """

    kind: str
    level: int
    draw: int
    amount: float
    unit: str
    mask: Tensor
    note: str = ""


def degrade(
    mask: Tensor, kind: str, *, steps: int = 4, draws: int = 2, step: float | None = None,
    spacing: Sequence[float] | None = None, soft: Tensor | None = None, seed: int = 0,
) -> list[Degraded]:  # fmt: skip
    """A mask made worse and worse by one of :data:`KINDS`; each level goes farther than the one before.

    ``erosion`` and ``dilation`` move the edge by multiples of ``step``. ``shift`` moves the whole mask in a random
    direction by up to half of its diameter (that of a disc or ball of its size); what leaves the picture is lost.
    ``dropout`` cuts random blobs out of it, half its inner radius in size, until a share of it is gone.
    ``threshold`` cuts ``soft`` elsewhere than at a half, at equal steps of the logit up and down.

    Args:
        mask: bool ``(*spatial)``, 2-D or 3-D, not empty.
        kind: how.
        steps: levels.
        draws: how often what is random is drawn.
        step: millimetres (pixels without ``spacing``) per level of erosion and dilation; if None, so that the last
            level takes ``steps / (steps + 1)`` of the mask's inner radius, but a pixel at least.
        spacing: millimetres along each axis.
        soft: probabilities ``(*spatial)``, for ``threshold``.
        seed: of what is random. The same seed draws the same, whatever the levels.

    Raises:
        UsageError: unknown kind, fewer than one step or draw, a step that is not positive, no ``soft``.
        InputError: the mask is empty.
    """
    if kind not in KINDS:
        raise UsageError(f"no degradation {kind!r}; choose one of {', '.join(KINDS)}")
    if steps < 1 or draws < 1 or (step is not None and step <= 0):
        raise UsageError(f"steps={steps}, draws={draws}, step={step}: give 1 or more of each, and a positive step")
    if not mask.any():
        raise InputError("the mask is empty: there is nothing to make worse")
    scale = np.asarray(spacing if spacing is not None else (1.0,) * mask.ndim, float)
    levels = range(1, steps + 1)
    unit = "mm" if spacing is not None else "pixels"
    if kind in ("erosion", "dilation"):
        each = step if step is not None else max(inner_radius(mask, scale) / (steps + 1), float(min(scale)))
        sign = -1 if kind == "erosion" else 1
        return [_told(kind, i, 0, i * each, unit, widened(mask, sign * i * each, spacing)) for i in levels]
    if kind == "threshold":
        if soft is None:
            raise UsageError("threshold wants probabilities: give soft")
        cuts = [(i, draw, 1 / (1 + np.exp((-1) ** (draw + 1) * LOGIT * i / steps))) for i in levels for draw in (0, 1)]
        return [_told(kind, i, draw, float(p), "probability", soft > p) for i, draw, p in cuts]
    found = []
    for draw in range(draws):
        made = _shifts(mask, scale, _rng(seed, draw)) if kind == "shift" else _dropouts(mask, scale, _rng(seed, draw))
        for i in levels:
            share = FARTHEST * i / steps if kind == "shift" else i / (steps + 1)
            found.append(_told(kind, i, draw, share, "of the diameter" if kind == "shift" else "share", made(share)))
    return sorted(found, key=lambda d: (d.level, d.draw))


def inner_radius(mask: Tensor, scale: Sequence[float] | NDArray[np.float64]) -> float:
    """The greatest distance from within the mask to what is outside it (the picture's border included)."""
    padded = np.pad(mask.numpy(), 1)
    return float(distance_transform_edt(padded, sampling=tuple(scale)).max())


def mask_dice(a: Tensor, b: Tensor) -> float:
    """Dice of two masks; 1 where both are empty."""
    size = int(a.sum() + b.sum())
    return 2 * int((a & b).sum()) / size if size else 1.0


def _told(kind: str, level: int, draw: int, amount: float, unit: str, mask: Tensor) -> Degraded:
    empty = not bool(mask.any())
    return Degraded(kind, level, draw, amount, unit, mask, f"nothing is left of the mask by {kind}" if empty else "")


def _rng(seed: int, draw: int) -> np.random.Generator:
    return np.random.default_rng([seed, draw])


def _shifts(mask: Tensor, scale: NDArray[np.float64], rng: np.random.Generator) -> Callable[[float], Tensor]:
    """The mask moved by a share of its diameter, always in the same direction."""
    direction = rng.normal(size=mask.ndim)
    direction /= np.linalg.norm(direction)
    volume = int(mask.sum()) * prod(scale)
    diameter = 2 * (volume / pi) ** 0.5 if mask.ndim == 2 else 2 * (3 * volume / (4 * pi)) ** (1 / 3)

    def moved(share: float) -> Tensor:
        by = np.rint(direction * share * diameter / scale).astype(int)
        out = torch.zeros_like(mask)
        into = tuple(slice(max(0, b), n + min(0, b)) for b, n in zip(by, mask.shape))
        out_of = tuple(slice(max(0, -b), n + min(0, -b)) for b, n in zip(by, mask.shape))
        if all(abs(b) < n for b, n in zip(by, mask.shape)):
            out[into] = mask[out_of]
        return out

    return moved


def _dropouts(mask: Tensor, scale: NDArray[np.float64], rng: np.random.Generator) -> Callable[[float], Tensor]:
    """The mask without a share of its pixels, blob after blob, the middle of a blob first."""
    inside = mask.numpy()
    places = np.argwhere(inside)
    radius = max(BLOB * inner_radius(mask, scale), float(min(scale)))
    reach = np.ceil(radius / scale).astype(int)
    turn = np.zeros(inside.shape, np.int64)  # when each pixel goes, from 1
    gone = 0
    for k in rng.permutation(len(places)):
        centre = places[k]
        if turn[tuple(centre)]:
            continue
        window = tuple(slice(max(0, c - r), c + r + 1) for c, r in zip(centre, reach))
        grid = np.ogrid[tuple(slice(w.start, min(w.stop, n)) for w, n in zip(window, inside.shape))]
        away = np.sqrt(sum(((g - c) * s) ** 2 for g, c, s in zip(grid, centre, scale)))
        own = inside[window] & (turn[window] == 0) & (away <= radius)
        order = np.argsort(away[own], kind="stable")
        at = np.empty(len(order), np.int64)
        at[order] = gone + 1 + np.arange(len(order))
        turn[window][own] = at
        gone += len(order)

    def without(share: float) -> Tensor:
        return torch.from_numpy(inside & (turn > round(share * len(places))))

    return without
