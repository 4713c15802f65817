"""Where a map may be seen: masks from arrays, label maps and probabilities, wider or narrower by a margin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from pellucid.errors import InputError, UsageError

Value = int | Sequence[int] | None


def as_mask(mask: Any, *, where: str, soft: bool = False, value: Value = None) -> Tensor:
    """A mask ``(*spatial)`` on the CPU: bool, or float32 probabilities if ``soft``.

    Args:
        mask: ``(*spatial)`` or ``(1, *spatial)``; bool, two values of which one is 0, a label map, or probabilities,
            which count as inside above 0.5.
        where: begins a message, such as ``case p17``.
        soft: whether probabilities are kept as they are.
        value: the label, or labels, that are inside.

    Raises:
        InputError: not numbers, not finite, more than two values and none chosen, neither a mask nor probabilities.
    """
    try:
        m = torch.as_tensor(mask if isinstance(mask, Tensor) else np.asarray(mask)).detach().cpu()
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: the mask is not an array of numbers ({error})") from error
    if m.ndim > 2 and m.shape[0] == 1:
        m = m[0]
    if m.is_floating_point() and not torch.isfinite(m).all():
        raise InputError(f"{where}: the mask has values that are NaN or infinite; replace them by 0")
    if value is not None:
        chosen = torch.as_tensor([value] if isinstance(value, int) else list(value))
        # Not in the mask's own type: of a bool mask any label would be "true", and 256 is 0 in eight bits.
        whole = m if m.is_floating_point() else m.long()
        return torch.isin(whole, chosen.to(whole.dtype))
    if m.dtype == torch.bool:
        return m.float() if soft else m
    found = m.unique()
    if m.is_floating_point() and len(found) and float(found[0]) >= 0 and float(found[-1]) <= 1:
        return m.float() if soft else m > 0.5
    if len(found) > 2 or (len(found) == 2 and not (found == 0).any()):
        said = ", ".join(f"{v:g}" for v in found[:6].tolist()) + (", …" if len(found) > 6 else "")
        raise InputError(
            f"{where}: the mask has {len(found)} values ({said}); a mask is bool or 0 and one other value, "
            "probabilities lie from 0 to 1; of a label map choose what is inside: value=1, or value=(1, 2)"
        )
    inside = m != 0
    return inside.float() if soft else inside


def widened(mask: Tensor, margin: float, spacing: Sequence[float] | None) -> Tensor:
    """A bool mask that reaches ``margin`` farther, or that much less far if negative.

    Distances are between the centres of pixels, in millimetres if ``spacing`` is given, else in pixels. What lies
    beyond the border of the picture counts as neither inside nor outside.

    Example:
        >>> widened(torch.tensor([[False, False, True, False]]), 1.0, (1.0, 0.5)).tolist()
        [[True, True, True, True]]
    """
    if margin == 0 or not mask.any() or mask.all():
        return mask
    sampling = tuple(spacing) if spacing else (1.0,) * mask.ndim
    outside = ~mask if margin > 0 else mask
    distance = torch.from_numpy(distance_transform_edt(outside.numpy(), sampling=sampling))
    # Distances are sums of floats: a pixel that lies just on the margin belongs to it.
    near = distance <= abs(margin) * (1 + 1e-9)
    return near if margin > 0 else mask & ~near


def check_options(*, top: float, within: str, margin: float, soft: bool, compatible: bool) -> None:
    """Raise UsageError for options of SegX that make no sense, alone or together."""
    if not 0 < top < 1:
        raise UsageError(f"top={top}: give a share, between 0 and 1")
    if within not in ("mask", "image"):
        raise UsageError(f"within={within!r}: choose 'mask' or 'image'")
    if not np.isfinite(margin):
        raise UsageError(f"margin={margin}: give millimetres (pixels where no spacing is known)")
    if soft and margin:
        raise UsageError("a soft mask has no edge to move: give either soft=True or a margin")
    if compatible and (soft or margin):
        raise UsageError("compatible=True repeats the published code, which knows neither soft masks nor margins")
