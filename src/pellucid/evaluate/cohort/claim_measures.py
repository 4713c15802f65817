"""What the clinical claims are made of: numbers of one map, or of two, on one picture.

``support`` is the evidence for the finding: the positive parts of all image maps added up, ``(*spatial)``, not all 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.evaluate import maths
from pellucid.evaluate.complexity.effective_voxels import effective_number
from pellucid.evaluate.complexity.gini import gini
from pellucid.evaluate.plausibility.iou_matched import iou_matched
from pellucid.evaluate.plausibility.pointing_game import pointing_game
from pellucid.evaluate.shared.levels import levels
from pellucid.evaluate.undefined import Undefined


def support_of(a: Attribution) -> Tensor:
    """The evidence for the target in a map, on the grid of its first picture.

    Raises:
        Undefined: no picture was explained, a value is not finite, or nothing speaks for the target.
    """
    heat = maths.heat(a)
    if not heat:
        raise Undefined("no picture was explained")
    shape = next(iter(heat.values())).shape
    total = torch.stack([m.clamp(min=0) for m in heat.values() if m.shape == shape]).sum(0)
    if not float(total.max()) > 0:
        raise Undefined("the map has no positive value")
    return total


def box_measures(support: Tensor, box: Tensor) -> dict[str, float]:
    """How well a map finds a bool ``box``, neither empty nor the whole picture.

    ``hit``: whether the maximum lies in it (the pointing game; of tied maxima their share). ``iou``: of the box and
    as many of the highest pixels; ``iou_half``: of the box and the pixels of at least half the maximum;
    ``hit_iou_10``, ``hit_iou_25``: whether ``iou`` is at least 0.1, 0.25. What a map that knows nothing gives on
    average: ``share``, the box's share of the picture, for ``hit``; ``share / (2 − share)`` for ``iou``; for
    ``iou_half`` ``iou_half_chance``, of as many pixels as the map has above half its maximum.
    """
    found = levels(support, box)
    matched = iou_matched(found)
    size, hits = (float(v) for v in found.at_least(0.5 * found.values[:1]))
    expected = size * found.region / found.pixels
    return {
        "hit": pointing_game(support, box), "iou": matched, "iou_half": hits / (size + found.region - hits),
        "iou_half_chance": expected / (size + found.region - expected),
        "hit_iou_10": float(matched >= 0.1), "hit_iou_25": float(matched >= 0.25),
        "share": found.region / found.pixels,
    }  # fmt: skip


def focus_measures(support: Tensor) -> dict[str, float]:
    """``gini`` (1: one pixel has all) and ``effective_share``, over which share of the picture the map is spread."""
    flat = support.flatten()
    return {"gini": gini(flat), "effective_share": effective_number(flat) / flat.numel()}


def outside(support: Tensor, lungs: Tensor) -> dict[str, float]:
    """``outside``: the share of the evidence that lies outside the lungs; ``outside_area``: that of the picture."""
    return {
        "outside": float(support[~lungs].sum() / support.sum()), "outside_area": float((~lungs).double().mean()),
    }  # fmt: skip


def alike(a: Tensor, b: Tensor, *, top: float = 0.1) -> dict[str, float]:
    """How alike two maps of one grid are.

    ``shared_top``: the share of the highest tenth (``top``) of one that is in the highest tenth of the other, pixels
    that tie at its edge counting in part; two maps that know nothing of each other share ``top``. ``spearman``: the
    rank correlation of all pixels, NaN where a map is the same everywhere. ``distance``: of the centres of mass, as a
    share of the picture's diagonal.
    """
    k = max(1, round(top * a.numel()))
    shared = float((_highest(a, k) * _highest(b, k)).sum() / k)
    try:
        rho = maths.spearman(a.flatten(), b.flatten())
    except Undefined:
        rho = float("nan")
    size = torch.tensor(a.shape, dtype=torch.float64)
    distance = float((_centre(a) - _centre(b)).norm() / size.norm())
    return {"shared_top": shared, "spearman": rho, "distance": distance}


def nearer_own(support: Tensor, own: Tensor, other: Tensor) -> float:
    """Whether a map is denser in its finding's box than in another finding's: 1, 0, or 0.5 for equal means.

    Pixels that are in both boxes are left out.

    Raises:
        Undefined: one box lies in the other.
    """
    mine, its = own & ~other, other & ~own
    if not mine.any() or not its.any():
        raise Undefined("one finding's box lies within the other's")
    a, b = float(support[mine].mean()), float(support[its].mean())
    return 0.5 if a == b else float(a > b)


def _highest(v: Tensor, k: int) -> Tensor:
    """Weights of the k highest pixels: 1 above, and equal parts for those that tie at the last place."""
    edge = v.flatten().topk(k).values[-1]
    above, at = v > edge, v == edge
    return above.double() + at.double() * (k - int(above.sum())) / int(at.sum())


def _centre(v: Tensor) -> Tensor:
    grids = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in v.shape), indexing="ij")
    return torch.stack([(v * g).sum() / v.sum() for g in grids])
