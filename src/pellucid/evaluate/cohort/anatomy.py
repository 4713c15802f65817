"""Where the patient is in a picture or volume, and what is outside, from the picture alone by classical means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from pellucid.core.case import Case
from pellucid.errors import InputError

Mask = NDArray[np.bool_]
How = Literal["given", "found", "frame"]

GIVEN = ("anatomy", "body")  # the only regions of a case that are read
TOLERANCE = 0.05  # of the range: grey values of the border that count as its commonest one
BACKGROUND = 0.4  # of the border has to be of that value: else nothing says where the patient ends
CENTRE = 0.6  # of the picture's middle half has to be patient, else the outline is not believed
LIMB = 0.1  # of the largest component: smaller ones are no part of the patient (arms and legs are larger)
FRAME = 0.1  # outer share of every axis that counts as outside where no outline was found
SAYS = {
    "given": "the outline of the patient is a region of the case ({region!r})",
    "found": "the outline of the patient was found in the picture (largest foreground, by a threshold)",
    "frame": "no outline of the patient was found, so the outer tenth of the picture and small bright marks count as "
    "outside, and may hold anatomy",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Outside:
    """What of a case is not the patient.

    Attributes:
        mask: ``(*spatial)``, True outside.
        how: ``"given"`` (a region of the case), ``"found"`` (in the picture), ``"frame"`` (no outline: see ``says``).
        says: how, in words.
    """

    mask: Mask
    how: How
    says: str


def outside(case: Case) -> Outside:
    """What of the case is outside the patient: a region ``anatomy`` or ``body``, else from the pictures.

    Pictures in which the patient fills the frame (crops, most chest X-rays) have no outline: there the outer frame
    and small isolated bright marks count as outside.

    Raises:
        InputError: a case without a picture.
    """
    if not case.spatial:
        raise InputError(f"case {case.id}: it has tables only; outside and inside are of pictures")
    for name in GIVEN:
        if name in case.regions:
            body = case.region(name).numpy()
            if body.any() and not body.all():
                return Outside(~_grown(body), "given", SAYS["given"].format(region=name))
    pictures = [case.inputs[k].double().mean(0).numpy() for k in case.images]
    pictures = [x for x in pictures if x.shape == case.spatial]
    bodies = [b for b in map(body_classical, pictures) if b is not None]
    if bodies:
        return Outside(~np.logical_or.reduce(bodies), "found", SAYS["found"])
    away = _frame(case.spatial)
    for x in pictures:
        away |= marks(x)
    return Outside(away, "frame", SAYS["frame"])


def body_classical(x: NDArray[np.float64]) -> Mask | None:
    """The patient in a picture or volume, or None where there is no background to tell them from.

    The background is the commonest value of the border; what differs from it by more than half of Otsu's threshold
    is foreground; its largest component, and others a tenth as large, with holes filled, is the patient, grown by one
    pixel in a hundred.

    Args:
        x: ``(*spatial)``, any units.
    """
    rim = x[_rim(x.shape)]
    span = float(np.ptp(x))
    if span == 0:
        return None
    counts, edges = np.histogram(rim, bins=64, range=(float(x.min()), float(x.max())))
    k = int(np.argmax(ndimage.uniform_filter1d(counts.astype(float), 3, mode="constant")))
    level = float(np.median(rim[(rim >= edges[max(0, k - 1)]) & (rim <= edges[min(64, k + 2)])]))
    near = np.abs(rim - level) < TOLERANCE * span
    if near.mean() < BACKGROUND:
        return None
    away = np.abs(x - level)
    noise = 1.4826 * float(np.median(np.abs(rim[near] - level)))
    front = away > max(5 * noise, 0.5 * float(threshold_otsu(away)))
    labels, n = ndimage.label(front)
    if not n:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = _filled(np.isin(labels, np.flatnonzero(sizes >= max(1, LIMB * sizes.max()))))
    middle = tuple(slice(s // 4, s - s // 4) for s in x.shape)
    if body[middle].mean() < CENTRE:
        return None
    body = _grown(body)
    return None if body.all() else body


def marks(x: NDArray[np.float64]) -> Mask:
    """Small isolated bright marks in the outer quarter (side letters, arrows), grown by a pixel or two.

    Args:
        x: ``(*spatial)``, larger is brighter.
    """
    span = float(np.ptp(x))
    if span == 0:
        return np.zeros(x.shape, bool)
    unit = (x - x.min()) / span
    side = max(5, min(x.shape) // 16)
    bright = (unit - ndimage.grey_opening(unit, size=(side,) * x.ndim) > 0.25) & (unit > 0.6)
    bright[tuple(slice(s // 4, s - s // 4) for s in x.shape)] = False
    labels, _ = ndimage.label(bright, np.ones((3,) * x.ndim))
    sizes = np.bincount(labels.ravel())
    small = np.flatnonzero((sizes >= 1e-4 * x.size) & (sizes <= 1e-2 * x.size))
    return np.asarray(ndimage.binary_dilation(np.isin(labels, small[small > 0]), iterations=_margin(x.shape)))


def _rim(shape: tuple[int, ...]) -> Mask:
    """The outermost pixels or voxels."""
    rim = np.ones(shape, bool)
    inner = [slice(1, -1) if s > 2 else slice(None) for s in shape]
    rim[tuple(inner)] = False
    return rim


def _filled(body: Mask) -> Mask:
    """Holes filled, and those of every slice: lungs are open where the scan ends, but not in a slice across them."""
    whole = np.asarray(ndimage.binary_fill_holes(body), bool)
    if body.ndim == 3:
        for axis in range(3):
            slices = [ndimage.binary_fill_holes(s) for s in np.moveaxis(body, axis, 0)]
            whole |= np.moveaxis(np.stack(slices), 0, axis)
    return whole


def _grown(body: Mask) -> Mask:
    return np.asarray(ndimage.binary_dilation(body, iterations=_margin(body.shape)), bool)


def _margin(shape: tuple[int, ...]) -> int:
    return max(1, round(min(shape) / 100))


def _frame(shape: tuple[int, ...]) -> Mask:
    away = np.ones(shape, bool)
    away[tuple(slice(max(1, round(FRAME * s)), s - max(1, round(FRAME * s))) for s in shape)] = False
    return away
