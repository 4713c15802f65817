"""Zones of a picture, estimated by classical means, so that one can ask where the evidence lies.

They are estimates, not anybody's reading: their names say so (``lungs_classical``), and so does the report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage import exposure, filters, measure, morphology, segmentation

from pellucid.core.case import Case
from pellucid.errors import UsageError, unknown

Zone = Callable[[NDArray[np.float64]], NDArray[np.bool_]]
FRAME = 0.1


def lungs_classical(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Both lung fields of a frontal chest X-ray, by a watershed from where lungs usually lie.

    Darkness under local contrast equalisation decides; opaque parts of a lung may be cut off. No reader drew it.

    Args:
        x: ``(H, W)``, larger is brighter.
    """
    h, w = x.shape
    g = exposure.equalize_adapthist(_unit(x), kernel_size=(max(1, h // 2), max(1, w // 2)), clip_limit=0.02)
    g = filters.gaussian(g, sigma=h / 90)
    found = np.zeros((h, w), bool)
    for centre in (0.29, 0.71):
        core = _ellipse(h, w, (0.42, centre), (0.16, 0.075))
        reach = _ellipse(h, w, (0.46, centre), (0.36, 0.21))
        bright = filters.threshold_otsu(g[reach]) + 0.10 if np.ptp(g[reach]) > 0 else np.inf
        markers = np.zeros((h, w), int)
        markers[core & (g <= np.median(g[core]) + 0.02)] = 1
        markers[~reach | (reach & (g > bright) & ~core)] = 2
        markers[:, int(0.47 * w) : int(0.53 * w)] = 2
        lung = segmentation.watershed(filters.sobel(g) + 0.15 * g, markers) == 1
        lung = _largest(morphology.opening(lung, morphology.disk(max(1, h // 50))))
        found |= ndimage.binary_fill_holes(morphology.closing(lung, morphology.disk(max(1, h // 20))))
    return found


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


def _ellipse(h: int, w: int, centre: tuple[float, float], radii: tuple[float, float]) -> NDArray[np.bool_]:
    y, x = np.mgrid[:h, :w]
    inside = ((y / h - centre[0]) / radii[0]) ** 2 + ((x / w - centre[1]) / radii[1]) ** 2 <= 1
    return np.asarray(inside, bool)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels = measure.label(mask)
    return labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])) if labels.max() else mask
