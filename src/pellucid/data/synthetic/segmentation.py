"""Brain FLAIR and contrast-enhanced T1: a tumour with necrotic core, enhancing rim and oedema."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.core.case import Case
from pellucid.data.synthetic import brain
from pellucid.data.synthetic.canvas import Array, paint, waves
from pellucid.data.synthetic.parts import Chance, name_of
from pellucid.errors import UsageError

AREA = (676.0, 260.0)  # mean and sd of the whole lesion's pixels at 224²
PARTS = ("oedema", "rim", "necrosis")
# Brightness of the parts in each sequence.
BRIGHTNESS = {"flair": (0.80, 0.72, 0.58), "t1ce": (0.42, 0.85, 0.17)}

# Brightness of harmless changes of age in the white matter, which a network must not take for oedema.
AGEING = {"flair": 0.78, "t1ce": 0.46}


def case(seed: int, index: int, *, size: int, confounder: float | None, plant: bool) -> Case:
    """Case ``index``: inputs ``flair`` and ``t1ce``, ``(1, size, size)`` in [0, 1]; truth the whole lesion's mask."""
    if confounder is not None:
        raise UsageError("a segmentation has no label for a token to give away; use confounder with another task")
    chance = Chance.of("segmentation", seed, index)
    head = brain.draw(chance.anatomy, size)
    part_of = _tumour(chance.signal, head, chance.truth)
    whole = part_of > 0
    parts = {name: part_of == i for i, name in enumerate(PARTS, 1)}
    age = _ageing(chance.anatomy, head)
    mottle = chance.signal.normal(0, 0.02, (2, size, size)).astype(np.float32)
    pictures = []
    for grain, (sequence, brightness) in zip(mottle, BRIGHTNESS.items()):
        picture = brain.contrast(head, sequence)
        paint(picture, age, AGEING[sequence])
        if plant:
            for part, value in zip(parts.values(), brightness):
                paint(picture, part.astype(np.float32), value + grain)
        pictures.append(brain.scan(chance.noise, picture, head.canvas))
    name, patient = name_of("segmentation", seed, index)
    regions = {"lesion": whole, "anatomy": head.inside > 0.5, **parts}
    return Case(
        id=name,
        inputs={k: torch.from_numpy(p[None]) for k, p in zip(BRIGHTNESS, pictures)},
        truth=torch.from_numpy(whole.astype(np.int64)),
        regions={k: torch.from_numpy(v) for k, v in regions.items()},
        group=patient,
        spacing=(head.canvas.px, head.canvas.px),
        meta={"window": (0.0, 1.0), "modality": "MR"},
    )


def _ageing(rng: np.random.Generator, head: brain.Brain) -> Array:
    """Opacity of caps on the ventricles' horns and of spots in the white matter: bright in FLAIR, in every patient."""
    x, y = head.canvas.x, head.canvas.y
    horns = np.clip((np.abs(y + 2) - 14) / 14, 0, 1)
    reach = rng.uniform(2.5, 7.0) * horns * (1 + 0.3 * waves(rng, x, y, wavelength=20.0))
    caps = np.clip(2 * (1 - np.maximum(head.ventricle, 0) / np.maximum(reach, 0.3)), 0, 1)
    spots = np.clip(2.5 * (waves(rng, x, y, wavelength=16.0) - rng.uniform(1.5, 1.9)), 0, 1)
    return (np.maximum(caps, spots) * head.white()).astype(np.float32)


def _tumour(
    rng: np.random.Generator, head: brain.Brain, truth: np.random.Generator
) -> NDArray[np.uint8]:
    """What each pixel is: 0 healthy, else the number of its part in ``PARTS``, from 1.

    The pixels are ranked by their distance from the centre over the tumour's outline in that direction, and as
    many are taken as the area wants: so the area is exact, whatever the outline.
    """
    size = head.inside.shape[0]
    area = float(np.clip(truth.normal(*AREA), 150, 1500)) * (size / 224) ** 2
    radius = np.sqrt(area / np.pi) * head.canvas.px
    x, y = head.canvas.x, head.canvas.y
    room = np.minimum(head.surface - 0.75 * radius, head.ventricle - 0.5 * radius)
    free = np.argwhere(room > min(0.0, float(room.max()) - 1.0))
    row, column = free[rng.integers(len(free))]
    dx, dy = x - x[row, column], y - y[row, column]
    theta = np.arctan2(dy, dx)
    bumps, shell = np.zeros_like(theta), np.zeros_like(theta)
    for k in (2, 3, 4, 5, 7):
        a, b = rng.normal(0, 0.42 / k**1.3), rng.normal(0, 0.25 / k**1.3)
        bumps += np.float32(a) * np.sin(k * theta + np.float32(rng.uniform(0, 6.28)))
        shell += np.float32(b) * np.sin(k * theta + np.float32(rng.uniform(0, 6.28)))
    distance = np.hypot(dx, dy) / np.float32(radius)
    outer = distance / np.clip(1 + bumps, 0.45, 1.8)
    inner = distance / np.clip(1 + shell, 0.6, 1.5)
    # The core and the rim have an outline of their own, but stay inside the whole.
    rank = np.where(head.inside > 0.5, outer, np.float32(1e6) + outer)
    bound = float(np.partition(rank.ravel(), round(area) - 1)[round(area) - 1])
    rim, core = rng.uniform(0.60, 0.74), rng.uniform(0.34, 0.46)
    within = np.maximum(inner, 0.85 * outer / bound)
    return np.select([rank > bound, within <= core, within <= rim], [0, 3, 2], 1).astype(np.uint8)
