"""Dermoscopy: a lesion on skin, with hairs, a ruler and a dark frame, and the masks of all of them.

Benign lesions are round, of one brown with a fine net; malignant ones have an uneven outline and patches of several
colours. The skin, the light, the hairs, the ruler and the frame do not know the label, unless the ruler is made a
confounder: rulers do stand beside the lesions that somebody measured (source: narla2018automated).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pellucid.core.case import Case
from pellucid.data.synthetic.canvas import Array, Canvas, capsule, cover, stroke, texture, waves
from pellucid.data.synthetic.parts import Chance, balanced_label, name_of

FOV = 24.0  # mm across the picture
# Skin under various lights, red green blue: a draw lies between two of them.
SKIN = ((0.93, 0.60, 0.60), (0.92, 0.90, 0.85), (0.60, 0.46, 0.52), (0.97, 0.78, 0.92), (0.84, 0.66, 0.54))
# What melanin and blood take of the skin's light: brown, dark brown, black, blue-grey, red.
BROWNS = ((0.68, 0.48, 0.38), (0.55, 0.36, 0.30))
PATCHES = ((0.42, 0.26, 0.20), (0.18, 0.13, 0.14), (0.45, 0.48, 0.60), (0.85, 0.42, 0.42), (0.72, 0.55, 0.45))
RULER_SHARE, FRAME_SHARE, HAIRY_SHARE = 0.4, 0.35, 0.7


def case(
    seed: int, index: int, *, size: int, confounder: float | None, plant: bool, segmentation: bool = False
) -> Case:
    """Case ``index``: input ``image`` ``(3, size, size)`` in [0, 1]; truth 0 benign or 1 malignant, or the mask."""
    chance = Chance.of("dermoscopy", seed, index)
    label = balanced_label("dermoscopy", seed, index)
    canvas = Canvas.of(size, FOV)
    picture = _skin(chance.anatomy, canvas)
    alpha, light = _lesion(chance.signal, canvas, malignant=bool(label))
    if plant:
        picture *= 1 - alpha[..., None] * (1 - light)
    hair, ruler, frame = _artefacts(chance, canvas, picture, label=label, confounder=confounder)
    picture = gaussian_filter(picture, (0.5 * size / 224, 0.5 * size / 224, 0))
    picture += chance.noise.normal(0, 0.012, picture.shape).astype(np.float32)
    regions: dict[str, NDArray[np.bool_]] = {"lesion": alpha > 0.5, "hair": hair, "ruler": ruler[1], "frame": frame}
    if confounder is not None:
        regions["confounder"] = ruler[0]
    name, patient = name_of("dermoscopy", seed, index)
    truth = torch.from_numpy((alpha > 0.5).astype(np.int64)) if segmentation else label
    return Case(
        id=name,
        inputs={"image": torch.from_numpy(np.ascontiguousarray(np.clip(picture, 0, 1).transpose(2, 0, 1), np.float32))},
        truth=truth,
        regions={k: torch.from_numpy(v) for k, v in regions.items()},
        group=patient,
        spacing=(canvas.px, canvas.px),
        meta={"window": (0.0, 1.0), "modality": "dermoscopy"},
    )


def _skin(rng: np.random.Generator, canvas: Canvas) -> Array:
    """Skin ``(size, size, 3)`` under an uneven light, with mottle, vessels and now and then a gleam."""
    one, two = (np.asarray(SKIN[i]) for i in rng.integers(len(SKIN), size=2))
    colour = one + rng.random() * (two - one) + rng.normal(0, 0.02, 3)
    x, y = canvas.x, canvas.y
    turn, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.12)
    lit = rng.uniform(0.85, 1.05) * (1 + slope * (np.cos(turn) * x + np.sin(turn) * y) / (FOV / 2))
    red = 0.02 * waves(rng, x, y, wavelength=5.0) + 0.015 * waves(rng, x, y, wavelength=1.6)
    grain = 0.012 * texture(rng, x.shape, 0.8)
    shade = np.stack([lit + 0.4 * red + grain, lit - red + grain, lit - 0.8 * red + grain], -1)
    picture = np.asarray(colour, np.float32) * shade.astype(np.float32)
    for _ in range(int(rng.poisson(1.5))):  # bubbles of the contact fluid gleam
        cx, cy = rng.uniform(-0.45 * FOV, 0.45 * FOV, 2)
        ring = np.abs(np.hypot(x - cx, y - cy) - rng.uniform(0.15, 0.5))
        picture += 0.35 * cover(ring - 0.05, max(canvas.px, 0.15))[..., None]
    return picture


def _lesion(rng: np.random.Generator, canvas: Canvas, *, malignant: bool) -> tuple[Array, Array]:
    """Opacity ``(size, size)`` and the light that it leaves ``(size, size, 3)``."""
    radius = rng.uniform(3.0, 7.5)
    room = max(0.0, FOV / 2 - radius - 2.5)
    cx, cy = rng.uniform(-room, room, 2) * 0.8
    dx, dy = canvas.x - np.float32(cx), canvas.y - np.float32(cy)
    turn, squeeze = rng.uniform(0, np.pi), rng.uniform(0.72, 1.0)
    u, v = dx * np.cos(turn) + dy * np.sin(turn), (dy * np.cos(turn) - dx * np.sin(turn)) / squeeze
    theta, distance = np.arctan2(v, u), np.hypot(u, v)
    rough = 0.20 if malignant else 0.06
    outline = 1 + sum(
        rng.normal(0, rough / k**0.7) * np.sin(k * theta + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 6, 9, 13)
    )
    edge = rng.uniform(0.4, 2.5)
    alpha = cover(distance - radius * np.clip(outline, 0.5, 1.5), edge).astype(np.float32)
    brown = BROWNS[0] + rng.random() * (np.asarray(BROWNS[1]) - BROWNS[0]) + rng.normal(0, 0.03, 3)
    light = np.broadcast_to(np.asarray(brown, np.float32), (*alpha.shape, 3)).copy()
    if malignant:
        for k in rng.choice(len(PATCHES), size=int(rng.integers(3, 5)), replace=False):
            field = waves(rng, canvas.x, canvas.y, wavelength=rng.uniform(3.5, 8.0))
            where = np.clip(field - 0.35, 0, 1)[..., None]
            light += where * (np.asarray(PATCHES[k], np.float32) - light)
    net = waves(rng, canvas.x, canvas.y, wavelength=0.9, n=9)
    light *= (1 - (0.04 if malignant else 0.07) * np.abs(net))[..., None]
    light *= (1 + 0.10 * waves(rng, canvas.x, canvas.y, wavelength=radius))[..., None]
    strength = np.float32(rng.uniform(0.65, 1.0))
    return alpha, np.clip(1 - strength * (1 - light), 0.05, 1.1).astype(np.float32)


def _artefacts(
    chance: Chance, canvas: Canvas, picture: Array, *, label: int, confounder: float | None
) -> tuple[NDArray[np.bool_], tuple[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.bool_]]:
    """Paint hairs, ruler and frame; masks of the hairs, the ruler (its place, and where shown) and the frame."""
    rng = chance.anatomy
    hairs = _hairs(rng, canvas, picture)
    place = _ruler(chance.token, canvas)
    shown = chance.token.random() < RULER_SHARE
    if confounder is not None:
        shown = (chance.token.random() < confounder) == bool(label)
    if shown:
        picture *= 1 - 0.85 * place[..., None]
    ruler = place > 0.5
    framed = rng.random() < FRAME_SHARE
    dark = np.clip((np.hypot(canvas.x, canvas.y) - rng.uniform(0.50, 0.60) * FOV) / 0.8, 0, 1) * float(framed)
    picture *= 1 - 0.97 * dark[..., None]
    return hairs, (ruler, ruler & shown), dark > 0.5


def _hairs(rng: np.random.Generator, canvas: Canvas, picture: Array) -> NDArray[np.bool_]:
    n = int(rng.poisson(7)) if rng.random() < HAIRY_SHARE else 0
    found = np.zeros(canvas.x.shape, bool)
    value = np.asarray((0.93, 0.88, 0.80) if rng.random() < 0.25 else (0.12, 0.09, 0.08), np.float32)
    lie = rng.uniform(0, 2 * np.pi)
    for _ in range(n):
        x, y = rng.uniform(-FOV / 2, FOV / 2, 2)
        way, bend, thick = lie + rng.normal(0, 0.7), rng.normal(0, 0.12), rng.uniform(0.05, 0.11)
        points = []
        for _ in range(7):
            points.append((float(x), float(y), float(thick)))
            x, y, way = x + 2.2 * np.cos(way), y + 2.2 * np.sin(way), way + bend
        alpha = cover(stroke(canvas.x, canvas.y, points), max(canvas.px, 0.1))
        picture += (0.85 * alpha)[..., None] * (value - picture)
        found |= alpha > 0.5
    return found


def _ruler(rng: np.random.Generator, canvas: Canvas) -> Array:
    """Opacity of a millimetre scale along one edge; every fifth tick is longer."""
    x, y = (canvas.x, canvas.y) if rng.random() < 0.5 else (canvas.y, canvas.x)
    side = -1.0 if rng.random() < 0.5 else 1.0
    at = side * (FOV / 2 - 1.0)
    distance = np.full(x.shape, np.float32(99))
    thick = max(0.09, 0.55 * canvas.px)  # a line thinner than a pixel would be on none
    for k, t in enumerate(np.arange(-FOV / 2 + 1, FOV / 2, 1.0)):
        inward = at - side * (2.2 if k % 5 == 0 else 1.2)
        distance = np.minimum(distance, capsule(x, y, (float(t), at), (float(t), inward), thick, thick))
    return cover(distance, max(canvas.px, 0.12)).astype(np.float32)
