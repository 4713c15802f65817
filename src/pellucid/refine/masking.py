"""The operators of SegX: a map through a mask, its salient places, and what the mask hides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def through(m: Tensor, mask: Tensor) -> Tensor:
    """``A ∘ M``, channels kept. What is not finite is hidden like anything else.

    Args:
        m: ``(*spatial)`` or ``(C, *spatial)``.
        mask: ``(*spatial)``, bool or weights.
    """
    return torch.where(mask > 0, m * mask, torch.zeros((), dtype=m.dtype))


def magnitude(m: Tensor, axes: int) -> Tensor:
    """What the published code masks: the mean magnitude over the channels, where the map has any."""
    return torch.from_numpy(np.mean(np.abs(m.numpy()), axis=0)) if m.ndim == axes + 1 else m


def salient(s: Tensor, among: Tensor, top: float) -> Tensor:
    """Which pixels ``(*spatial)`` of those ``among`` are strictly above their ``1 − top`` percentile.

    None where a value is not finite, or where all tie.
    """
    values = s.numpy()[among.numpy()]
    if not len(values) or not np.isfinite(values).all():
        return torch.zeros_like(among)
    threshold = np.percentile(values, 100 - 100 * top)
    return torch.from_numpy(s.numpy() > threshold) & among


def hidden(parts: Sequence[Tensor], mask: Tensor) -> float:
    """``1 − Σ(A∘M) / ΣA`` of maps that are nowhere negative, added up; NaN without a finite positive sum.

    In [0, 1]; 1 minus the metric ``mass_in_mask`` for the same mask.
    """
    whole = torch.stack(list(parts)).sum(0)
    total = float(whole.sum())
    if not (math.isfinite(total) and total > 0):
        return math.nan
    left = (whole * mask).sum() / whole.sum()
    return float((1 - left).clamp(0, 1))
