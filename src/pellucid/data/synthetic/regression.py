"""Brain T1 and T2: a severity score, seen in the white matter around the ventricles, weakly in T1, strongly in T2."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.core.case import Case
from pellucid.data.synthetic import brain
from pellucid.data.synthetic.canvas import Array, waves
from pellucid.data.synthetic.parts import Chance, name_of, stamp

# Largest change of brightness in each sequence, at a score of 1.
STRENGTH = {"t1": -0.26, "t2": 0.52}


def case(seed: int, index: int, *, size: int, confounder: float | None, plant: bool) -> Case:
    """Case ``index``: inputs ``t1`` and ``t2``, ``(1, size, size)`` in [0, 1]; truth the score, Beta(2, 5)."""
    chance = Chance.of("regression", seed, index)
    score = float(chance.truth.beta(2, 5))
    head = brain.draw(chance.anatomy, size)
    load = _load(chance.signal, head, score)
    visible = 0.45 + 0.55 * score  # even a low score can be seen
    pictures = []
    for sequence, strength in STRENGTH.items():
        picture = brain.contrast(head, sequence)
        if plant:
            picture = picture + np.float32(strength * visible) * load
        pictures.append(brain.scan(chance.noise, picture, head.canvas))
    regions: dict[str, NDArray[np.bool_]] = {"lesion": load > 0, "anatomy": head.inside > 0.5}
    if confounder is not None:
        agrees = chance.token.random() < confounder
        shown = score if agrees else float(chance.token.beta(2, 5))
        regions["confounder"] = stamp(pictures, shown)
    name, patient = name_of("regression", seed, index)
    return Case(
        id=name,
        inputs={k: torch.from_numpy(p[None]) for k, p in zip(STRENGTH, pictures)},
        truth=score,
        regions={k: torch.from_numpy(v) for k, v in regions.items()},
        group=patient,
        spacing=(head.canvas.px, head.canvas.px),
        meta={"window": (0.0, 1.0), "modality": "MR"},
    )


def _load(rng: np.random.Generator, head: brain.Brain, score: float) -> Array:
    """Share of each pixel that is diseased, ``(size, size)``: a seam on the ventricles, thicker with the score,
    thickest at the horns, with an uneven border, and patches that break away from it; white matter only."""
    x, y = head.canvas.x, head.canvas.y
    horns = 0.75 + 0.5 * np.clip((np.abs(y + 2) - 12) / 20, 0, 1)
    uneven = 1 + 0.2 * waves(rng, x, y, wavelength=22.0)
    reach = (2.0 + 26.0 * np.float32(score)) * horns * uneven
    away = np.maximum(head.ventricle, 0)
    seam = np.clip(1.5 * (1 - away / np.maximum(reach, 0.5)), 0, 1)
    patches = np.clip(2.2 * (waves(rng, x, y, wavelength=17.0) - 1.55 + 0.6 * score), 0, 1)
    patches *= np.clip((30 - away) / 6, 0, 1)
    load = np.maximum(seam, patches * np.float32(0.9)) * head.white()
    return np.where(load > 0.15, load, 0).astype(np.float32)  # nothing is planted outside the mask
