"""SegX in loops, over single pixels and in plain numpy: slow, and as it is written down."""

from __future__ import annotations

from itertools import product

import numpy as np


def masked(a, mask):
    """S = A∘M; ``a`` is (*spatial) or (C, *spatial), ``mask`` bool or weights."""
    out = np.zeros_like(a)
    for at in product(*(range(n) for n in mask.shape)):
        out[(..., *at)] = a[(..., *at)] * mask[at] if mask[at] else 0
    return out


def salient(s, mask, top, within):
    """Strictly above the percentile of the positive part of S (*spatial): of the mask's pixels, or of all."""
    among = [at for at in product(*(range(n) for n in s.shape)) if within == "image" or mask[at]]
    values = [max(float(s[at]), 0.0) for at in among]
    found = np.zeros(s.shape, bool)
    if values:
        threshold = np.percentile(values, 100 - 100 * top)
        for at, value in zip(among, values):
            found[at] = value > threshold
    return found


def discarded(a, mask):
    """1 − Σ(A⁺∘M)/ΣA⁺ of a map (*spatial)."""
    kept = total = 0.0
    for at in product(*(range(n) for n in mask.shape)):
        value = max(float(a[at]), 0.0)
        total += value
        kept += value * float(mask[at])
    return 1 - kept / total


def moved(mask, margin, spacing):
    """Pixels within ``margin`` of the mask's are added; or those within it of the others' taken away."""
    out = mask.copy()
    others = np.argwhere(mask if margin > 0 else ~mask)
    for at in product(*(range(n) for n in mask.shape)):
        apart = [np.sqrt(sum(((x - y) * d) ** 2 for x, y, d in zip(at, o, spacing))) for o in others]
        if apart and min(apart) <= abs(margin) + 1e-9:
            out[at] = margin > 0
    return out


def published(act_map, seg_mask):
    """The published code: raw map and salient places of one class.

    ``act_map`` is (H, W), a resized Grad-CAM, or (C, H, W), SHAP values.
    """
    if act_map.ndim == seg_mask.ndim + 1:
        act_map = np.mean(np.abs(act_map), axis=0)
    act_map = act_map * seg_mask
    threshold = np.percentile(act_map.flatten(), 100 - 5)
    return act_map, np.where(act_map > threshold, 1, 0)
