"""Lung CT: a round nodule in the left lung (benign) or a spiculated one in the right (malignant), and a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pellucid.core.case import Case
from pellucid.data.synthetic import chest, features
from pellucid.data.synthetic.canvas import Array, cover, paint
from pellucid.data.synthetic.parts import Chance, balanced_label, name_of, stamp

CLASSES = ("benign", "malignant")


def case(
    seed: int, index: int, *, size: int, confounder: float | None, plant: bool, table_signal: float = 1.0
) -> Case:
    """Case ``index``: inputs ``ct`` ``(1, size, size)`` in [0, 1] and ``ehr`` ``(12,)`` in raw units."""
    chance = Chance.of("classification", seed, index)
    label = balanced_label("classification", seed, index)
    ehr = features.draw(chance.truth, label)
    body = chest.draw(chance.anatomy, size)
    # Nothing but the nodule (and the table) tells the classes apart: the anatomy does not know the label.
    alpha = _nodule(chance.signal, body, label, ehr)
    if plant:
        paint(body.hu, alpha, 80.0)
    picture = chest.scan(chance.noise, body.hu, body.px)
    lungs = np.where(body.right > 0.5, 1, np.where(body.left > 0.5, 2, 0))
    regions: dict[str, NDArray[Any]] = {"lesion": alpha > 0.2, "anatomy": body.body > 0.5}
    regions["lungs"] = lungs.astype(np.uint8)  # 1 right, 2 left
    if confounder is not None:
        agrees = chance.token.random() < confounder
        shown = label if agrees else 1 - label
        regions["confounder"] = stamp([picture], float(shown))
    if table_signal < 1:
        ehr = features.weaken(ehr, label, table_signal, chance.token)
    name, patient = name_of("classification", seed, index)
    return Case(
        id=name,
        inputs={"ct": torch.from_numpy(picture[None]), "ehr": torch.from_numpy(ehr)},
        truth=label,
        regions={k: torch.from_numpy(v) for k, v in regions.items()},
        group=patient,
        spacing=(body.px, body.px),
        meta={"window": (0.0, 1.0), "modality": "CT"},
    )


def _nodule(rng: np.random.Generator, body: chest.Chest, label: int, ehr: Array) -> Array:
    """Opacity of the nodule, ``(size, size)``: smooth and round, or lobed with spicules, away from the pleura.

    Its diameter follows the column NoduleDiam_mm but is drawn larger than life (20 mm more), so that it is still
    several pixels wide at 96²; the spicules' length follows SpiculationIdx.
    """
    named = dict(zip(features.FEATURES, ehr))
    radius = (20.0 + float(named["NoduleDiam_mm"])) / 2
    lung = body.right if label else body.left
    room = distance_transform_edt(lung > 0.5, sampling=body.px)
    free = np.argwhere(room > min(radius + 5.0, 0.8 * room.max()))
    row, column = free[rng.integers(len(free))] + rng.uniform(-0.5, 0.5, 2)
    n = lung.shape[0]
    yy, xx = np.meshgrid(*(np.arange(n, dtype=np.float32),) * 2, indexing="ij")
    dx, dy = (xx - np.float32(column)) * np.float32(body.px), (yy - np.float32(row)) * np.float32(body.px)
    distance, theta = np.hypot(dx, dy), np.arctan2(dy, dx)
    if not label:
        wobble = 1 + 0.05 * np.sin(2 * theta + np.float32(rng.uniform(0, 6.28)))
        return cover(distance - np.float32(radius) * wobble, max(body.px, 1.2))
    core = np.float32(0.78 * radius)
    lobes = sum(
        np.float32(a) * np.sin(k * theta + np.float32(p))
        for k, a, p in zip((3, 5, 7), (0.10, 0.08, 0.05), rng.uniform(0, 6.28, 3))
    )
    shape = distance - core * (1 + lobes)
    reach = radius * (0.45 + 0.75 * float(named["SpiculationIdx"]))
    turns = np.linspace(0, 2 * np.pi, int(rng.integers(9, 14)), endpoint=False)
    for t in turns + rng.normal(0, 0.14, len(turns)):
        along = dx * np.float32(np.cos(t)) + dy * np.float32(np.sin(t))
        aside = np.abs(dy * np.float32(np.cos(t)) - dx * np.float32(np.sin(t)))
        tip = core + reach * rng.uniform(0.6, 1.1)
        thick = 2.3 * np.clip((tip - along) / (tip - 0.5 * core), 0, 1)
        shape = np.minimum(shape, np.where((along > 0) & (along < tip), aside - thick, np.float32(99)))
    return cover(shape, max(body.px, 1.2)) * (body.body > 0.5)
