"""What a map looks like through a mask that was made worse, beside the same map through the mask as it was."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.evaluate import maths
from pellucid.evaluate.plausibility.dice import dice
from pellucid.evaluate.plausibility.mass_accuracy import mass_accuracy
from pellucid.evaluate.plausibility.pointing_game import pointing_game
from pellucid.evaluate.plausibility.threshold import above
from pellucid.evaluate.undefined import Undefined
from pellucid.refine.masking import hidden, salient, through

AGREEMENT = ("top_iou", "top_kept", "spearman")
MEASURES = (*AGREEMENT, "discarded_mass", "segu", "dice", "pointing_game", "mass_accuracy")
HALF = 0.5  # of the maximum: where the map is "on" for its Dice with the region


@dataclass(frozen=True, eq=False)
class Seen:
    """A map through a mask: what is left of it, and which places of that are salient; both ``(*spatial)``."""

    mask: Tensor
    left: Tensor
    top: Tensor


def support_of(a: Attribution, grid: tuple[int, ...]) -> Tensor | None:
    """What speaks for the target, all pictures on this grid added up, float64; None where that is nothing."""
    parts = [m.clamp(min=0) for m in maths.heat(a).values() if tuple(m.shape) == grid]
    total = torch.stack(parts).sum(0) if parts else None
    return total if total is not None and float(total.max()) > 0 else None


def seen_through(support: Tensor, mask: Tensor, *, top: float, within: str) -> Seen:
    """As SegX shows it: ``S = A ∘ M``, and the places strictly above its ``1 − top`` percentile."""
    left = through(support, mask)
    return Seen(mask, left, salient(left, mask if within == "mask" else torch.ones_like(mask), top))


def measured(support: Tensor, was: Seen, now: Seen, *, top: float, region: Tensor | None) -> dict[str, float]:
    """All of :data:`MEASURES` for one mask; NaN where a number does not exist.

    ``top_iou``: intersection over union of the salient places with those through the mask as it was; ``top_kept``: the
    share of these that is still salient; ``spearman``: ρ of the two masked maps within the union of the masks;
    ``discarded_mass``; ``segu``: the certainty with this mask; ``dice``, ``pointing_game``, ``mass_accuracy`` of the
    masked map with ``region``. With an empty mask, through which SegX shows the whole map, all are NaN.
    """
    found = dict.fromkeys(MEASURES, nan)
    if not now.mask.any():
        return found
    before, both = int(was.top.sum()), int((was.top & now.top).sum())
    if before:
        found |= {"top_iou": both / (before + int(now.top.sum()) - both), "top_kept": both / before}
    either = was.mask | now.mask
    try:
        found["spearman"] = maths.spearman(was.left[either], now.left[either])
    except Undefined:  # one of them is the same everywhere
        found["spearman"] = nan
    found["discarded_mass"] = hidden([support], now.mask)
    best = salient(support, torch.ones_like(now.mask), top)
    if best.any() and not now.mask.all():
        found["segu"] = int((best & now.mask).sum()) / int((best | now.mask).sum())
    if region is not None and float(now.left.max()) > 0:
        found |= {
            "dice": dice(above(now.left, HALF), region), "pointing_game": pointing_game(now.left, region),
            "mass_accuracy": mass_accuracy(now.left, region),
        }  # fmt: skip
    return found
