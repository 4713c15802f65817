"""An axial slice through the head at the level of the lateral ventricles: tissue shares, and MR contrasts of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pellucid.data.synthetic.canvas import Array, Canvas, cover, ellipse, stroke, texture, waves

FOV = 206.0
TISSUES = ("air", "skin", "fat", "bone", "diploe", "csf", "grey", "white", "deep grey", "vessel")
# Brightness of each tissue, in the order of TISSUES, on the scale of the finished picture.
CONTRAST: dict[str, tuple[float, ...]] = {
    "t1": (0.00, 0.42, 0.88, 0.05, 0.42, 0.14, 0.48, 0.70, 0.54, 0.20),
    "t2": (0.00, 0.32, 0.66, 0.04, 0.30, 0.95, 0.47, 0.34, 0.39, 0.08),
    "flair": (0.00, 0.36, 0.80, 0.04, 0.28, 0.10, 0.52, 0.40, 0.48, 0.14),
    "t1ce": (0.00, 0.44, 0.68, 0.05, 0.44, 0.13, 0.42, 0.55, 0.46, 0.90),
}


@dataclass(frozen=True)
class Brain:
    """One patient's slice.

    Attributes:
        shares: ``(tissues, size, size)``, the share of each tissue in each pixel; they sum to 1.
        inside: the brain's soft mask (with its ventricles and sulci).
        ventricle: signed distance to the wall of the lateral ventricles, mm.
        surface: distance to the brain's surface, mm, positive inside.
        canvas: coordinates in mm, in the patient's own frame.
    """

    shares: Array
    inside: Array
    ventricle: Array
    surface: Array
    canvas: Canvas

    def white(self) -> Array:
        """The share of white matter."""
        return self.shares[TISSUES.index("white")]


def draw(rng: np.random.Generator, size: int) -> Brain:
    """One patient's tissues, ``(size, size)``."""
    c = Canvas.of(size, FOV).warped(rng, amplitude=1.3, wavelength=130.0)
    x, y, px = c.x, c.y, c.px
    shares = np.zeros((len(TISSUES), size, size), dtype=np.float32)
    shares[0] = 1

    def lay(tissue: str, alpha: Array) -> None:
        nonlocal shares
        shares *= 1 - alpha
        shares[TISSUES.index(tissue)] += alpha

    a, b = rng.uniform(72, 79), rng.uniform(89, 97)
    head = ellipse(x, y, 0, 0, a, b, power=2.15)
    scalp, skull = rng.uniform(4.5, 7.0), rng.uniform(5.5, 8.0)
    ripple = 0.6 * waves(rng, x, y, wavelength=50.0)
    lay("skin", cover(head, px))
    lay("fat", cover(head + 1.8, px))
    lay("bone", cover(head + scalp + ripple, px))
    middle = np.abs(head + scalp + skull / 2 + ripple) - (skull / 2 - 1.7)
    lay("diploe", cover(middle, px))
    dura = head + scalp + skull
    lay("csf", cover(dura, px))

    depth = -(dura + 2.0 + 0.5 * waves(rng, x, y, wavelength=50.0))
    inside = cover(-depth, px)
    sulcus = _sulci(rng, c, depth)
    midline = x - 1.2 * waves(rng, x, y, wavelength=120.0)
    cleft = _cleft(midline, y)
    sylvian = _sylvian(rng, c)
    csf = np.minimum.reduce([sulcus, cleft, sylvian])
    ribbon = 3.3 + 0.5 * waves(rng, x, y, wavelength=30.0)
    lay("grey", inside)
    lay("white", inside * cover(ribbon - np.minimum(csf, depth), px + 0.6))

    wide = rng.uniform(0.8, 1.3)
    ventricle = np.minimum(*(_ventricle(rng, c, side, wide) for side in (-1.0, 1.0)))
    _nuclei(rng, c, lay, inside, ventricle)
    lay("csf", inside * cover(csf, px))
    lay("csf", inside * cover(ventricle, px))
    lay("white", cover(np.abs(midline) - 0.7, px) * cover(np.abs(y + 9) - 18, px))  # septum
    for side in (-1.0, 1.0):  # choroid plexus
        lay("vessel", 0.75 * cover(ellipse(x, y, side * 19, 20, 1.8, 4.2, -side * 0.5), px))
    # Falx and the sagittal sinus at its back.
    lay("bone", inside * 0.5 * cover(np.abs(midline) - 0.45, px) * cover(36 - np.abs(y), px))
    lay("vessel", cover(ellipse(x, y, 0, b - scalp - skull - 3, 4.5, 3.2), px))
    lay("vessel", cover(ellipse(x, y, 0, -b + scalp + skull + 2, 1.8, 1.6), px))
    for _ in range(7):  # cortical vessels in the sulci
        t = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.9, 0.97)
        spot = np.hypot(x - (a - 14) * reach * np.cos(t), y - (b - 14) * reach * np.sin(t)) - rng.uniform(0.6, 1.1)
        lay("vessel", 0.9 * inside * cover(spot, px))
    return Brain(shares, inside, ventricle, depth, c)


def _sulci(rng: np.random.Generator, c: Canvas, depth: Array, n: int = 32) -> Array:
    """Signed distance to sulci that run inwards from the surface, each of its own depth, bent by a smooth field."""
    bend = 0.75 * waves(rng, c.x, c.y, wavelength=34.0) + 0.35 * waves(rng, c.x, c.y, wavelength=16.0)
    phase = np.arctan2(c.y, c.x) / (2 * np.pi) * n + 0.3 * bend + rng.uniform(0, 1)
    which = np.round(phase)
    pitch = 2 * np.pi * np.maximum(np.hypot(c.x, c.y), 12) / n  # mm from one sulcus to the next, here
    off = np.abs(phase - which) * pitch
    floor = rng.uniform(7, 25, n).astype(np.float32)[np.mod(which.astype(int), n)]
    beyond = np.maximum(depth - floor, 0)
    return (np.hypot(off, beyond) - (0.35 + 0.55 * np.clip(1 - depth / floor, 0, 1))).astype(np.float32)


def _cleft(midline: Array, y: Array) -> Array:
    """The fissure between the hemispheres, in front of and behind the callosum."""
    gap = np.maximum(36 - np.abs(y + 2), 0)
    return (np.hypot(midline, gap) - 0.8).astype(np.float32)


def _sylvian(rng: np.random.Generator, c: Canvas) -> Array:
    """The lateral fissures with the insula."""
    chains = []
    for side in (-1.0, 1.0):
        y0 = rng.uniform(-8, 4)
        chains.append(stroke(c.x, c.y, [
            (side * 72, y0 + 6, 1.6), (side * 54, y0 + 1, 1.2), (side * 43, y0 - 8, 0.8),
        ]))  # fmt: skip
        chains.append(stroke(c.x, c.y, [
            (side * 54, y0 + 1, 1.0), (side * 46, y0 + 9, 0.8), (side * 41, y0 + 20, 0.5),
        ]))  # fmt: skip
    return np.minimum.reduce(chains)


def _ventricle(rng: np.random.Generator, c: Canvas, side: float, wide: float) -> Array:
    """Signed distance to one lateral ventricle: frontal horn, body, and the start of the occipital horn."""
    w = wide * rng.uniform(0.92, 1.08)
    return stroke(c.x, c.y, [
        (side * (11 + 3 * w), -33 - 2 * w, 1.4 * w), (side * (5.5 + 2 * w), -22, 3.4 * w),
        (side * (3 + 2 * w), -8, 3.2 * w),
        (side * (5 + 2 * w), 4, 2.6 * w), (side * (13 + 2 * w), 17, 3.3 * w),
        (side * (21 + 2 * w), 29 + 3 * w, 2.6 * w),
    ])  # fmt: skip


def _nuclei(
    rng: np.random.Generator, c: Canvas, lay: Callable[[str, Array], None], inside: Array, ventricle: Array
) -> None:
    """Caudate, lentiform nucleus and thalamus on both sides."""
    j = rng.normal(0, 0.8, 6)
    for side in (-1.0, 1.0):
        caudate = ellipse(c.x, c.y, side * 14.5, -19 + j[0], 4.2, 9.5, side * 0.25)
        lentiform = ellipse(c.x, c.y, side * (28 + j[1]), -4 + j[2], 6.2, 14, side * 0.3)
        thalamus = ellipse(c.x, c.y, side * (11 + j[3]), 6 + j[4], 7.5, 11, -side * 0.45)
        for shape in (caudate, lentiform, thalamus):
            lay("deep grey", inside * cover(np.maximum(shape, -ventricle), c.px + 1.2))


def contrast(brain: Brain, sequence: str) -> Array:
    """The ideal picture of a sequence (``t1``, ``t2``, ``flair``, ``t1ce``)."""
    weights = np.asarray(CONTRAST[sequence], dtype=np.float32)
    return np.tensordot(weights, brain.shares, axes=1).astype(np.float32)


def scan(rng: np.random.Generator, picture: Array, canvas: Canvas) -> NDArray[np.float32]:
    """What the scanner makes of it: point spread, gain and coil bias, Rician noise; in [0, 1]."""
    size = picture.shape[0]
    bias = 1 + 0.035 * waves(rng, canvas.x, canvas.y, wavelength=260.0, n=4)
    picture = gaussian_filter(picture, max(0.4, 0.55 / canvas.px)) * bias * np.float32(rng.uniform(0.95, 1.05))
    real = picture + 0.018 * texture(rng, (size, size), 0.5)
    imaginary = 0.018 * texture(rng, (size, size), 0.5)
    return np.clip(np.hypot(real, imaginary), 0, 1).astype(np.float32)
