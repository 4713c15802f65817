"""Drawing in millimetres: coordinates, soft-edged shapes, smooth random fields.

A shape is a signed distance in mm (negative inside); :func:`cover` turns it into the share of each pixel that it
covers. Smooth fields are sums of waves, so that the same seed draws the same anatomy at every picture size.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Canvas:
    """Pixel centres in mm, ``(size, size)``; x grows to the picture's right, y downwards, (0, 0) in the middle."""

    x: Array
    y: Array
    px: float

    @classmethod
    def of(cls, size: int, fov: float) -> Canvas:
        """A square picture of ``size`` pixels that shows ``fov`` mm."""
        t = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * np.float32(fov)
        x, y = np.meshgrid(t, t)
        return cls(x, y, fov / size)

    def warped(self, rng: np.random.Generator, *, amplitude: float, wavelength: float) -> Canvas:
        """Coordinates displaced by a smooth field of ``amplitude`` mm: no two patients are alike."""
        dx = waves(rng, self.x, self.y, wavelength=wavelength)
        dy = waves(rng, self.x, self.y, wavelength=wavelength)
        a = np.float32(amplitude)
        return Canvas(self.x + a * dx, self.y + a * dy, self.px)


def cover(distance: Array, width: float) -> Array:
    """Share of a pixel that is inside, in [0, 1]; the edge is ``width`` mm wide."""
    return np.clip(np.float32(0.5) - distance / np.float32(width), 0, 1)


def paint(picture: Array, alpha: Array, value: float | Array) -> None:
    """Lay ``value`` over ``picture`` with opacity ``alpha``, in place."""
    picture += alpha * (value - picture)


def ellipse(
    x: Array, y: Array, cx: float, cy: float, a: float, b: float, angle: float = 0.0, power: float = 2.0
) -> Array:
    """Signed distance (first order) to an ellipse of half-axes ``a``, ``b``, or to a superellipse of ``power``."""
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = x - np.float32(cx), y - np.float32(cy)
    u, v = np.abs(c * u + s * v) / np.float32(a), np.abs(c * v - s * u) / np.float32(b)
    if power == 2.0:
        k = np.sqrt(u * u + v * v)
        slope = np.sqrt((u / a) ** 2 + (v / b) ** 2)
        return np.where(k > 0.05, k * (k - 1) / np.maximum(slope, 1e-6), np.float32(-min(a, b))).astype(np.float32)
    up, vp = u ** np.float32(power - 1), v ** np.float32(power - 1)
    total = np.maximum(up * u + vp * v, 1e-9)
    k = total ** np.float32(1 / power)
    slope = np.sqrt((up / a) ** 2 + (vp / b) ** 2) / np.maximum(total, 1e-9) * k
    return np.where(k > 0.05, (k - 1) / np.maximum(slope, 1e-6), np.float32(-min(a, b))).astype(np.float32)


def capsule(
    x: Array, y: Array, start: tuple[float, float], end: tuple[float, float], r0: float, r1: float
) -> Array:
    """Signed distance to a stroke from ``start`` to ``end`` whose radius goes from ``r0`` to ``r1``."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    u, v = x - np.float32(start[0]), y - np.float32(start[1])
    t = np.clip((u * np.float32(dx) + v * np.float32(dy)) / np.float32(max(dx * dx + dy * dy, 1e-9)), 0, 1)
    u, v = u - t * np.float32(dx), v - t * np.float32(dy)
    return np.sqrt(u * u + v * v) - (np.float32(r0) + t * np.float32(r1 - r0))


def stroke(x: Array, y: Array, points: list[tuple[float, float, float]]) -> Array:
    """Signed distance to a chain of capsules through ``(x, y, radius)``."""
    parts = [capsule(x, y, p[:2], q[:2], p[2], q[2]) for p, q in pairwise(points)]
    return np.minimum.reduce(parts)


def waves(rng: np.random.Generator, x: Array, y: Array, *, wavelength: float, n: int = 7) -> Array:
    """A smooth field of about unit variance: ``n`` waves of random direction, of ``wavelength`` mm ± 35 %."""
    angle, phase = rng.uniform(0, 2 * np.pi, (2, n))
    k = 2 * np.pi / (wavelength * rng.uniform(0.65, 1.35, n))
    out = np.zeros_like(x)
    for kx, ky, ph in zip(k * np.cos(angle), k * np.sin(angle), phase):
        out += np.sin(np.float32(kx) * x + np.float32(ky) * y + np.float32(ph))
    return out * np.float32(np.sqrt(2 / n))


def texture(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Array:
    """Gaussian-filtered noise of unit variance, grain of ``sigma`` pixels."""
    noise = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma, mode="wrap")
    return noise / max(float(noise.std()), 1e-6)
