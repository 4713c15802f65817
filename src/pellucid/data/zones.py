"""Zones of a picture, estimated by classical means, so that one can ask where the evidence lies.

They are estimates, not anybody's reading: their names say so (``lungs_classical``), and so does the report.

A frontal chest X-ray is shown as if the patient faced the reader: the patient's right lung is at the left of the
picture (``mirrored`` says that a picture is the other way round).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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


LUNG_ZONES = "lung_zones_classical"
"""The zone that stands for six: the thirds of both lungs, as the regions ``zone right upper`` and so on."""

SIDES, THIRDS = ("right", "left"), ("upper", "middle", "lower")
PREFIX = "zone "
LEAST_LUNG = 0.1  # share of the mask that a second piece needs to be taken for the other lung


def lung_zones(mask: Any, *, mirrored: bool = False) -> dict[str, NDArray[np.bool_]]:
    """Six zones of a mask of both lungs: each lung cut into thirds of its own height.

    The two largest pieces are the lungs where they lie beside each other; a mask in one piece across the middle of the
    picture is cut at its narrowest column, one that lies on one side is that side's lung, and the other has no zones.
    Further pieces go to the nearer lung. The zones do not overlap, and together they are the mask.

    Args:
        mask: ``(H, W)``, both lungs; everything that is not zero is inside.
        mirrored: whether the patient's right is at the right of the picture.

    Returns:
        ``"right upper"``, ``"right middle"``, ``"right lower"``, ``"left upper"`` … to ``(H, W)`` bool, always six;
        empty ones where there is no such lung.

    Raises:
        UsageError: not a mask of a 2-D picture.
    """
    inside = np.asarray(mask) != 0
    if inside.ndim != 2:
        raise UsageError(f"lung_zones: the mask has shape {inside.shape}; give that of a frontal picture, (H, W)")
    found: dict[str, NDArray[np.bool_]] = {}
    halves = _lungs(inside)
    for side, lung in zip(SIDES, halves[::-1] if mirrored else halves, strict=True):
        rows = np.flatnonzero(lung.any(1))
        top, end = (rows[0], rows[-1] + 1) if len(rows) else (0, 0)
        third = np.clip(3 * (np.arange(len(lung)) - top) // max(1, end - top), 0, 2)
        found |= {f"{side} {name}": lung & (third == i)[:, None] for i, name in enumerate(THIRDS)}
    return found


def _lungs(inside: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The lung at the left of the picture, and that at the right."""
    labels = measure.label(inside, connectivity=1)
    pieces = sorted(measure.regionprops(labels), key=lambda r: r.area, reverse=True)
    columns = np.arange(inside.shape[1])
    if len(pieces) > 1 and pieces[1].area >= LEAST_LUNG * inside.sum() and _beside(pieces[0], pieces[1]):
        one, two = sorted(pieces[:2], key=lambda r: r.centroid[1])
        cut = (one.centroid[1] + two.centroid[1]) / 2
        rest = inside & ~np.isin(labels, [one.label, two.label])
        at_left = (labels == one.label) | rest & (columns < cut)
        return at_left, inside & ~at_left
    middle = inside.shape[1] / 2
    across = inside.sum(0)
    share = float(across[columns < middle].sum()) / max(1, int(across.sum()))
    if not 0.25 <= share <= 0.75:  # one lung alone
        at_left = inside if share > 0.5 else np.zeros_like(inside)
        return at_left, inside & ~at_left
    first, last = np.flatnonzero(across)[[0, -1]]
    inner = np.arange(first + (last - first) // 4, last - (last - first) // 4 + 1)
    emptiest = inner[across[inner] == across[inner].min()]
    at_left = inside & (columns < emptiest[np.abs(emptiest - middle).argmin()])
    return at_left, inside & ~at_left


def _beside(one: Any, two: Any) -> bool:
    """Whether two pieces share less than half of the narrower one's columns."""
    shared = min(one.bbox[3], two.bbox[3]) - max(one.bbox[1], two.bbox[1])
    return shared < 0.5 * min(r.bbox[3] - r.bbox[1] for r in (one, two))


def with_zones(case: Case, names: Sequence[str]) -> Case:
    """The case with the named zones of its first picture among its regions.

    ``"lung_zones_classical"`` adds six, ``zone right upper`` and so on: of the case's region ``lungs`` where it has
    one, else of ``lungs_classical``. A case whose ``meta`` says ``mirrored`` has its sides swapped.

    Raises:
        UsageError: no such zone, or the case has no 2-D picture.
    """
    for name in names:
        if name not in ZONES and name != LUNG_ZONES:
            raise unknown("zone", name, (*ZONES, LUNG_ZONES))
    if len(case.spatial) != 2:
        raise UsageError(f"case {case.id}: zones are found in 2-D pictures, this case has {len(case.spatial)} axes")
    x = case.inputs[case.images[0]].mean(0).double().numpy()
    found = {n: torch.as_tensor(ZONES[n](x)) for n in names if n != LUNG_ZONES}
    if LUNG_ZONES in names:
        known = {**case.regions, **found}
        lungs = next((known[n] for n in ("lungs", "lungs_classical") if n in known), None)
        mask = ZONES["lungs_classical"](x) if lungs is None else lungs.numpy()
        zones = lung_zones(mask, mirrored=bool(case.meta.get("mirrored", False)))
        found |= {PREFIX + n: torch.as_tensor(z) for n, z in zones.items()}
    return case.replace(regions={**case.regions, **found})


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = float(x.min()), float(x.max())
    return (x - low) / (high - low) if high > low else np.zeros_like(x)
