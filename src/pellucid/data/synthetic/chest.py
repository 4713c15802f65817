"""An axial CT slice through the chest at the level of the heart, in Hounsfield units.

Radiological convention: the patient's left is on the picture's right, the front is up, the couch is below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from pellucid.data.synthetic.canvas import Array, Canvas, capsule, cover, ellipse, paint, stroke, texture, waves

FOV = 360.0
WINDOW = (-1000.0, 400.0)
AIR, FAT, LUNG, MUSCLE, BLOOD, MARROW, CORTEX = -1000.0, -100.0, -860.0, 55.0, 190.0, 260.0, 900.0


@dataclass(frozen=True)
class Chest:
    """A slice before the scanner: ``hu`` sharp and free of noise; soft masks of the body and of each lung."""

    hu: Array
    body: Array
    right: Array
    left: Array
    px: float


def draw(rng: np.random.Generator, size: int) -> Chest:
    """One patient's slice, ``(size, size)``."""
    plain = Canvas.of(size, FOV)
    c = plain.warped(rng, amplitude=2.5, wavelength=130.0)
    px, x, y = c.px, c.x, c.y
    a, b, fat = rng.uniform(148, 168), rng.uniform(103, 120), rng.uniform(7, 18)
    hu = np.full((size, size), AIR, dtype=np.float32)
    outside = ellipse(x, y, 0, -8, a, b, power=2.45)
    body = cover(outside, px)
    paint(hu, body, 30.0)
    paint(hu, cover(outside + 2, px), FAT + 12 * waves(rng, x, y, wavelength=25.0))
    wall = outside + fat * (1 + 0.22 * waves(rng, x, y, wavelength=110.0))
    paint(hu, cover(wall, px), MUSCLE)

    front, back = -8 - b + fat + 12, -8 + b - fat - 23
    mid, half = (front + back) / 2, (back - front) / 2
    cage = ellipse(x, y, 0, mid, a - fat - 14, half, power=2.25)
    for depth in (9.0, 17.0):  # fat planes between the layers of muscle
        seam = np.abs(cage - depth - 2.5 * waves(rng, x, y, wavelength=60.0)) - 0.3
        paint(hu, 0.55 * cover(seam, px + 1.2) * cover(wall + 2, px), FAT)
    right, left = _lungs(rng, hu, c, cage, mid, half)
    _bones(rng, hu, c, cage, mid, half, a - fat - 14)
    _couch(hu, plain, float(-8 + b))
    return Chest(hu, body, right, left, px)


def _lungs(
    rng: np.random.Generator, hu: Array, c: Canvas, cage: Array, mid: float, half: float
) -> tuple[Array, Array]:
    """Mediastinum with heart, aorta, gullet; the two lungs with vessels, bronchi and a fissure each."""
    px, x, y, back = c.px, c.x, c.y, mid + half
    big = rng.uniform(0.92, 1.1)
    hx, hy = 17 + rng.normal(0, 3), mid - 6 + rng.normal(0, 3)
    heart = ellipse(x, y, hx, hy, 56 * big, 41 * big, 0.5)
    aorta = (rng.uniform(19, 24), back - 35 + rng.normal(0, 2), rng.uniform(10, 13))
    spine = ellipse(x, y, 0, back - 11, 24, 20)
    wedge = ellipse(x, y, 2, mid - half + 22, 13, 40)
    root = ellipse(x, y, 0, mid + 20, 42, 15)
    middle = np.minimum.reduce(
        [heart - 4, np.hypot(x - aorta[0], y - aorta[1]) - aorta[2] - 2.5, spine, wedge, root]
    )
    middle = np.minimum(middle, ellipse(x, y, 4, back - 28, 17, 24))
    inner = np.maximum(cage + 7.5, -middle)
    lung = cover(inner, px)
    right, left = lung * (x < 3), lung * (x >= 3)
    posterior = np.clip((y - mid) / half, -1, 1)
    parenchyma = LUNG + 45 * posterior + 18 * waves(rng, x, y, wavelength=70.0)
    paint(hu, cover(cage + 7.5, px), FAT + 15.0)
    paint(hu, lung, parenchyma.astype(np.float32))
    tissue = cover(inner, px + 6) * lung  # vessels fade towards the pleura
    for side in (-1.0, 1.0):
        _tree(rng, hu, c, tissue * (side * (x - 3) > 0), side, mid, half)
        fissure = y - (mid + 12 + side * x * 0.28 + 4 * waves(rng, x, y, wavelength=150.0))
        paint(hu, 0.22 * cover(np.abs(fissure) - 0.35, px + 1) * lung * (side * x > 45), -500.0)

    paint(hu, cover(heart, px + 1), 95.0)
    cavities = [  # left ventricle, right ventricle, left atrium, right atrium
        (36, 6, 21, 14, 0.6, 1.0), (6, -20, 27, 12, 0.5, 0.95), (4, 22, 23, 13, 0.1, 1.0), (-26, -2, 15, 21, 0.2, 0.92),
    ]  # fmt: skip
    for ox, oy, p, q, angle, share in cavities:
        chamber = ellipse(x, y, hx + ox * big, hy + oy * big, p * big, q * big, angle)
        paint(hu, cover(np.maximum(chamber, heart + 4), px + 2), BLOOD * share)
    tube = np.hypot(x - aorta[0], y - aorta[1])
    paint(hu, cover(tube - aorta[2] - 1.3, px), 70.0)
    paint(hu, cover(tube - aorta[2], px), BLOOD)
    gullet = ellipse(x, y, 3, back - 42, 7, 5)
    paint(hu, cover(gullet, px), 40.0)
    paint(hu, cover(gullet + 4, px), -400.0)
    for side in (-1.0, 1.0):  # lower-lobe veins and bronchi at the hilum
        for _ in range(3):
            ux, uy = side * rng.uniform(36, 52) + 4, mid + rng.uniform(8, 34)
            disc = np.hypot(x - ux, y - uy)
            r = rng.uniform(3.5, 6)
            paint(hu, cover(disc - r, px), 150.0)
        ux, uy, r = side * rng.uniform(45, 52) + 3, mid + rng.uniform(22, 32), rng.uniform(3.5, 5)
        disc = np.hypot(x - ux, y - uy)
        paint(hu, cover(disc - r - 1.6, px), 20.0)
        paint(hu, cover(disc - r, px), -970.0)
    return right, left


def _tree(
    rng: np.random.Generator, hu: Array, c: Canvas, where: Array, side: float, mid: float, half: float
) -> None:
    """A tree of vessels from the hilum, and the round cuts of those that cross the slice."""
    stems = [
        (side * 42.0 + 4, mid + rng.uniform(10, 26), angle + rng.normal(0, 0.12), rng.uniform(2.0, 3.1), 0)
        for angle in np.linspace(-1.25, 1.2, 5)
    ]
    strokes: list[tuple[tuple[float, float], tuple[float, float], float, float, float]] = []
    while stems:
        x0, y0, angle, radius, depth = stems.pop()
        length = rng.uniform(17, 27) * (1 - 0.13 * depth)
        x1, y1 = x0 + side * length * np.cos(angle), y0 + length * np.sin(angle)
        in_slice = 1.0 if depth == 0 else rng.uniform(0.35, 1.0)
        strokes.append(((x0, y0), (x1, y1), radius, radius * 0.75, in_slice))
        if depth < 3:
            fork = rng.uniform(0.25, 0.6)
            for turn in (fork, fork - 0.85):
                if rng.random() < 0.14 * depth:  # it leaves the slice
                    continue
                stems.append((x1, y1, angle + turn, radius * rng.uniform(0.6, 0.78), depth + 1))
    for _ in range(28):
        px0, py0 = side * rng.uniform(48, 125) + 4, mid + rng.uniform(-0.85, 0.85) * half
        r = rng.uniform(0.7, 1.9)
        strokes.append(((px0, py0), (px0 + 0.5, py0), r, r, 1.0))
    for p, q, r0, r1, in_slice in strokes:
        box = _box(c, p, q, r0 + c.px + 8)
        if box is None:
            continue
        # A vessel thinner than a pixel fills only part of it.
        share = in_slice * min(1.0, 2 * r0 / c.px, 0.25 + r0 / 2.4)
        alpha = cover(capsule(c.x[box], c.y[box], p, q, r0, r1), c.px) * where[box]
        paint(hu[box], alpha * np.float32(share), 60.0)


def _box(
    c: Canvas, p: tuple[float, float], q: tuple[float, float], margin: float
) -> tuple[slice, slice] | None:
    n = c.x.shape[0]
    index = lambda mm: int((mm / c.px) + n / 2)  # noqa: E731
    x0, x1 = index(min(p[0], q[0]) - margin), index(max(p[0], q[0]) + margin) + 1
    y0, y1 = index(min(p[1], q[1]) - margin), index(max(p[1], q[1]) + margin) + 1
    if x1 <= 0 or y1 <= 0 or x0 >= n or y0 >= n:
        return None
    return slice(max(y0, 0), y1), slice(max(x0, 0), x1)


def _bones(
    rng: np.random.Generator, hu: Array, c: Canvas, cage: Array, mid: float, half: float, width: float
) -> None:
    """Ribs cut obliquely, breastbone, vertebra with canal and processes, shoulder blades."""
    px, x, y, back = c.px, c.x, c.y, mid + half
    theta, radius = np.arctan2((y - mid) / half, x / width), np.hypot(x, y - mid)
    for base in np.arange(-66, 78, 25.0):
        for flip in (False, True):
            t0 = np.deg2rad(base + rng.normal(0, 3))
            t0 = np.pi - t0 if flip else t0
            along = ((theta - t0 + np.pi) % (2 * np.pi) - np.pi) * radius
            across = cage + 1 + rng.uniform(-0.12, 0.12) * along
            rib = np.hypot(np.maximum(np.abs(along) - rng.uniform(6, 15), 0), across) - 4.3
            _bone(hu, rib, px)
    _bone(hu, ellipse(x, y, rng.normal(0, 1), mid - half - 3, 17, 5.5, power=3.0), px)
    v = back - 9
    _bone(hu, ellipse(x, y, 0, v, 18, 15, power=2.5), px)
    arch = stroke(
        x, y, [(-13, v + 12, 4), (-12, v + 20, 3.6), (0, v + 32, 4), (12, v + 20, 3.6), (13, v + 12, 4)]
    )
    spinous = capsule(x, y, (0, v + 31), (0, v + 42), 3.6, 3)
    for side in (-1.0, 1.0):
        _bone(hu, capsule(x, y, (side * 13, v + 20), (side * 34, v + 25), 4.2, 4.6), px)
    _bone(hu, np.minimum(arch, spinous), px)
    canal = ellipse(x, y, 0, v + 22, 9, 8)
    paint(hu, cover(canal, px), 5.0)
    paint(hu, cover(canal + 3.5, px), 40.0)
    for side in (-1.0, 1.0):
        tilt = rng.normal(0, 3)
        x0, x1 = 0.62 * width, width + 1
        blade = stroke(
            x, y,
            [(side * x0, back + 10 + tilt, 2.4), (side * (x0 + x1) / 2, back - 5, 1.9),
             (side * x1, mid + 0.44 * half, 4)],
        )  # fmt: skip
        _bone(hu, blade, px)


def _bone(hu: Array, shape: Array, px: float) -> None:
    """Compact bone outside, marrow inside."""
    paint(hu, cover(shape, px), CORTEX)
    paint(hu, cover(shape + 1.8, px), MARROW)


def _couch(hu: Array, c: Canvas, bottom: float) -> None:
    """The couch: two thin shells, hollow in the middle, below the patient."""
    surface = c.y - (bottom + 3 - c.x**2 / 1500)
    inside = np.abs(c.x) - 170
    for shell, value in ((0.0, -350.0), (22.0, -450.0)):
        line = np.maximum(np.abs(surface - shell) - 1.5, inside)
        paint(hu, cover(line, c.px) * (hu < -900), value)


def scan(rng: np.random.Generator, hu: Array, px: float) -> Array:
    """What the scanner makes of it: its point spread, correlated noise, then the window, in [0, 1]."""
    sigma = max(0.45, 0.8 / px)
    noisy = gaussian_filter(hu, sigma * 0.8) + 22 * texture(rng, hu.shape, 0.7)
    low, high = WINDOW
    return np.clip((noisy - low) / (high - low), 0, 1).astype(np.float32)
