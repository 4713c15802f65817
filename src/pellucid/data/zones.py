"""Zones of a picture, estimated by classical means, so that one can ask where the evidence lies.

They are estimates, not anybody's reading: their names say so (``lungs_classical``), and so does the report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

from pellucid.core.case import Case
from pellucid.data.lungs import lungs_classical
from pellucid.errors import UsageError, unknown

Zone = Callable[[NDArray[np.float64]], NDArray[np.bool_]]
FRAME = 0.1


def border(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The outer tenth of the picture on every side."""
    mask = np.ones(x.shape, bool)
    mask[tuple(slice(round(FRAME * s), s - round(FRAME * s)) for s in x.shape)] = False
    return mask


def letters_classical(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Small bright marks in the outer quarter: side letters, "PORTABLE", arrows; grown by a pixel or two.

    Args:
        x: ``(H, W)``, larger is brighter.
    """
    h, w = x.shape
    unit = _unit(x)
    side = max(3, h // 16)
    hat = unit - ndimage.grey_opening(unit, size=(side, side))
    inner = np.zeros((h, w), bool)
    inner[h // 4 : h - h // 4, w // 4 : w - w // 4] = True
    marks = measure.label((hat > 0.25) & (unit > 0.6) & ~inner)
    found = np.zeros((h, w), bool)
    for r in measure.regionprops(marks):
        if 0.0001 * h * w <= r.area <= 0.01 * h * w:
            found[marks == r.label] = True
    return ndimage.binary_dilation(found, iterations=max(1, h // 100))


ZONES: dict[str, Zone] = {
    "lungs_classical": lungs_classical, "border": border, "letters_classical": letters_classical,
}  # fmt: skip


def with_zones(case: Case, names: Sequence[str]) -> Case:
    """The case with the named zones of its first picture among its regions.

    Raises:
        UsageError: no such zone, or the case has no 2-D picture.
    """
    for name in names:
        if name not in ZONES:
            raise unknown("zone", name, ZONES)
    if len(case.spatial) != 2:
        raise UsageError(f"case {case.id}: zones are found in 2-D pictures, this case has {len(case.spatial)} axes")
    x = case.inputs[case.images[0]].mean(0).double().numpy()
    return case.replace(regions={**case.regions, **{n: torch.as_tensor(ZONES[n](x)) for n in names}})


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = float(x.min()), float(x.max())
    return (x - low) / (high - low) if high > low else np.zeros_like(x)
