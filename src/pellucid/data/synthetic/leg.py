"""An axial slice through the calf as T1-weighted MRI shows it: fat and marrow bright, muscle grey, compact bone dark.

The front is up. The inner side (the shin bone's) is on the picture's left; a mirrored slice is the other leg.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pellucid.data.synthetic.canvas import Array, Canvas, capsule, cover, ellipse, paint, stroke, texture, waves

FOV = 150.0
AIR, SKIN, FAT, FASCIA, MUSCLE, CORTEX, MARROW = 0.0, 0.42, 0.86, 0.16, 0.33, 0.04, 0.80
MUSCLES = (
    "anterior", "lateral", "deep posterior", "soleus", "gastrocnemius medial", "gastrocnemius lateral",
)  # fmt: skip
# Centre and half-axes in mm, turn in radians. A muscle is where its ellipse is nearest, in its own lengths.
_SHAPES = (
    (12.0, -25.0, 15.0, 16.0, 0.5), (33.0, -5.0, 10.0, 17.0, -0.3), (4.0, -3.0, 17.0, 10.0, 0.1),
    (4.0, 18.0, 35.0, 10.0, 0.0), (-20.0, 33.0, 19.0, 13.0, 0.5), (21.0, 35.0, 18.0, 12.0, -0.4),
)  # fmt: skip


@dataclass(frozen=True)
class Build:
    """What all slices of one patient share.

    Attributes:
        fat: thickness of the fat under the skin, mm.
        girth: half-axes of the leg at its thickest, mm.
        muscles: ``(6, 5)``, the patient's own ellipses.
        gain: brightness of the whole series.
        grey: brightness of muscle.
        coil: direction of the receiving coil, radians, and how uneven its light is.
        mirrored: whether it is the other leg.
        seed: of the smooth fields, which change little from slice to slice.
    """

    fat: float
    girth: tuple[float, float]
    muscles: NDArray[np.float64]
    gain: float
    grey: float
    coil: tuple[float, float]
    mirrored: bool
    seed: int


@dataclass(frozen=True)
class Leg:
    """A slice before the scanner: ``t1`` without noise, soft masks, and the muscles' numbers from 1 (0 none)."""

    t1: Array
    leg: Array
    bone: Array
    muscle: Array
    numbers: NDArray[np.int64]
    canvas: Canvas


def build(rng: np.random.Generator) -> Build:
    """Draw one patient."""
    muscles = np.array(_SHAPES)
    muscles[:, :2] += rng.normal(0, 1.2, (len(muscles), 2))
    muscles[:, 2:4] *= rng.uniform(0.88, 1.12, (len(muscles), 2))
    return Build(
        fat=float(rng.uniform(3.0, 12.0)), girth=(float(rng.uniform(50, 57)), float(rng.uniform(52, 60))),
        muscles=muscles, gain=float(rng.uniform(0.78, 1.08)), grey=float(MUSCLE + rng.uniform(-0.05, 0.06)),
        coil=(float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.05, 0.25))),
        mirrored=bool(rng.random() < 0.5), seed=int(rng.integers(2**31)),
    )  # fmt: skip


def draw(who: Build, height: float, size: int, *, pose: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Leg:
    """The slice at ``height`` from 0 (thickest) to 1 (towards the ankle), ``(size, size)``.

    ``pose`` is how the leg lies in it: shift along x and y in mm, and turn in radians.
    """
    rng = np.random.default_rng(who.seed)
    plain = Canvas.of(size, FOV)
    shrink = np.float32(1 - 0.16 * height)
    x, y = _turned((plain.x - pose[0]) / shrink, (plain.y - pose[1]) / shrink, pose[2])
    c = Canvas(-x if who.mirrored else x, y, plain.px / float(shrink))
    c = c.warped(rng, amplitude=1.6, wavelength=70.0)
    x, y, px = c.x, c.y, c.px
    outline = ellipse(x, y, 0, 2, *who.girth, power=2.15) + waves(rng, x, y, wavelength=110.0)
    leg = cover(outline, px)
    t1 = np.zeros((size, size), np.float32)
    paint(t1, leg, SKIN)
    paint(t1, cover(outline + 1.4, px), FAT + 0.03 * waves(rng, x, y, wavelength=14.0))
    for _ in range(7):  # veins and septa in the fat
        t = rng.uniform(0, 2 * np.pi)
        r = rng.uniform(0.93, 0.97)
        vein = np.hypot(x - who.girth[0] * r * np.cos(t), y - 2 - who.girth[1] * r * np.sin(t)) - rng.uniform(0.5, 1.2)
        paint(t1, 0.8 * cover(vein, px) * leg, 0.15)
    # Fat is thin over the shin and thick behind.
    theta = np.arctan2(y, x)
    depth = 1.5 + who.fat * (0.75 + 0.4 * np.sin(theta - 0.4)) + 0.6 * waves(rng, x, y, wavelength=45.0)
    inner = outline + np.maximum(depth, 1.5)
    paint(t1, cover(inner, px), FASCIA)
    muscle, numbers = _muscles(rng, t1, who.muscles * _lower(height), who.grey, c, inner)
    bone = _bones(rng, t1, who, c, inner)
    numbers[bone > 0.3] = 0
    return Leg(t1, leg, bone, muscle * (1 - bone), numbers, c)


def _muscles(
    rng: np.random.Generator, t1: Array, muscles: NDArray[np.float64], grey: float, c: Canvas, inner: Array
) -> tuple[Array, NDArray[np.int64]]:
    """Paint the muscles with fat between them; where they are, and which."""
    x, y, px = c.x, c.y, c.px
    near = np.stack([np.hypot(*_turned(x - m[0], y - m[1], m[4]) / m[2:4, None, None]) for m in muscles])
    near = near + 0.05 * np.stack([waves(rng, x, y, wavelength=24.0) for _ in muscles])
    first, second = np.sort(near, axis=0)[:2]
    septum = (second - first) * np.float32(12) - np.float32(0.9)  # a ratio into millimetres: half-axes are about 12
    flesh = cover(np.maximum(inner + 1.0, -septum), px + 0.4)
    seam = cover(inner + 1.0, px)
    paint(t1, seam, 0.62)
    fibres = 0.018 * waves(rng, x, y, wavelength=5.0) + 0.02 * waves(rng, x, y, wavelength=40.0)
    paint(t1, flesh, (grey + fibres).astype(np.float32))
    streak = np.abs(waves(rng, x, y, wavelength=11.0))  # the fat that runs between healthy bundles
    paint(t1, 0.30 * np.clip(1 - streak / 0.10, 0, 1) * flesh * (waves(rng, x, y, wavelength=30.0) > 0.3), FAT)
    numbers = np.where(flesh > 0.5, near.argmin(0) + 1, 0).astype(np.int64)
    for place in ((-3.0, 8.0), (10.0, 10.0), (20.0, -14.0)):  # vessels with flowing blood are dark, in fat
        cx, cy = place[0] + rng.normal(0, 1.2), place[1] + rng.normal(0, 1.2)
        disc = np.hypot(x - cx, y - cy)
        paint(t1, cover(disc - 3.4, px), 0.70)
        for side in (-1.4, 1.4):
            paint(t1, cover(np.hypot(x - cx - side, y - cy) - 1.1, px), 0.08)
        numbers[disc < 3.4] = 0
    return flesh, numbers


def _lower(height: float) -> NDArray[np.float64]:
    """How the muscles' ellipses change towards the ankle: the calf's two heads give way to the soleus."""
    change = np.ones((len(MUSCLES), 5))
    change[4:, 2:4] = 1 - 0.25 * height
    change[3, 2:4] = 1 + 0.1 * height
    return change


def _turned(x: Array, y: Array, angle: float) -> Array:
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return np.stack([c * x + s * y, c * y - s * x])


def _bones(rng: np.random.Generator, t1: Array, who: Build, c: Canvas, inner: Array) -> Array:
    """Shin bone and calf bone: a dark shell around bright marrow, and the dark membrane between them."""
    x, y, px = c.x, c.y, c.px
    front = 2 - who.girth[1]
    shin = stroke(x, y, [(-9, front + 14, 4.5), (-19, front + 31, 9.5), (-6, front + 34, 8.5), (-9, front + 14, 4.5)])
    shin = np.minimum(shin, ellipse(x, y, -12, front + 27, 10, 10))
    shin = np.maximum(shin, inner + 0.6)  # it never lies in the skin
    calf = ellipse(x, y, 25 + rng.normal(0, 1), 4 + rng.normal(0, 1.5), 6.3, 5.6)
    membrane = capsule(x, y, (-3, front + 36), (21, 2), 0.5, 0.5)
    paint(t1, 0.7 * cover(membrane, px), FASCIA)
    for shape, shell in ((shin, 3.0), (calf, 2.0)):
        paint(t1, cover(shape, px), CORTEX)
        paint(t1, cover(shape + shell * (1 + 0.15 * waves(rng, x, y, wavelength=20.0)), px), MARROW)
    return cover(np.minimum(shin, calf), px)


def scan(rng: np.random.Generator, t1: Array, who: Build, canvas: Canvas) -> Array:
    """What the scanner makes of it: coil, point spread, noise of the magnitude (never negative); in [0, 1]."""
    turn, uneven = who.coil
    along = (np.cos(turn) * canvas.x + np.sin(turn) * canvas.y) / np.float32(FOV / 2)
    lit = who.gain * (1 + np.float32(uneven) * along)
    signal = gaussian_filter(t1 * lit, max(0.45, 0.45 / canvas.px))
    one, two = (0.018 * texture(rng, t1.shape, 0.5) for _ in range(2))
    return np.clip(np.hypot(signal + one, two), 0, 1).astype(np.float32)
