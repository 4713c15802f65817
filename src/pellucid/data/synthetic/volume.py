"""A CT volume of the trunk with several organs, in Hounsfield units, on an anisotropic and slightly oblique grid."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from pellucid.core.case import Case
from pellucid.data.synthetic.canvas import Array
from pellucid.data.synthetic.parts import KINDS, Chance, name_of
from pellucid.errors import UsageError

# The labels, in order; HU in the middle of each.
ORGANS = ("background", "body", "right lung", "left lung", "heart", "liver", "spleen", "spine", "aorta")
HU = (-1000.0, 20.0, -850.0, -850.0, 130.0, 105.0, 120.0, 350.0, 220.0)
EXTENT = (360.0, 270.0, 330.0)  # mm: left to right, front to back, bottom to top


PLANTED = "consolidation"
"""What makes a case an outlier: the region, and ``meta["planted"]``."""


def case(
    seed: int, index: int, *, size: int, confounder: float | None, plant: bool, outlier: bool | None = None
) -> Case:
    """Case ``index``: input ``ct`` ``(1, size, 3/4 size, size/2)`` in HU; truth and region ``organs`` the labels.

    The axes run to the patient's left, back and head (LPS order, RAS+ affine), tilted by a few degrees. Age and sex are
    drawn by themselves: nothing in the picture depends on them.

    With ``outlier`` most of one lung is as dense as soft tissue (region ``consolidation``); all else, labels and noise
    too, is that of the case without. None says nothing of it in ``meta``.
    """
    if confounder is not None:
        raise UsageError("a volume has no label for a token to give away; use confounder with another task")
    if not plant:
        raise UsageError("in a volume the organs are the known answer; plant=False has nothing to leave out")
    chance = Chance.of("volume", seed, index)
    shape = (size, max(2, round(size * 0.75)), max(2, size // 2))
    spacing = tuple(e / n for e, n in zip(EXTENT, shape))
    labels, hu = _trunk(chance.anatomy, shape)
    dense = _consolidated(chance.signal, labels, hu) if outlier else np.zeros(shape, dtype=bool)
    sigma = [3.0 / s for s in spacing]
    grain = gaussian_filter(chance.noise.standard_normal(shape, dtype=np.float32), 0.6)
    hu = gaussian_filter(hu, sigma) + 28 * grain
    name, patient = name_of("volume", seed, index)
    return Case(
        id=name,
        inputs={"ct": torch.from_numpy(np.clip(hu, -1024, 1500).astype(np.float32)[None])},
        truth=torch.from_numpy(labels.astype(np.int64)),
        regions={"organs": torch.from_numpy(labels), "anatomy": torch.from_numpy(labels > 0)}
        | ({PLANTED: torch.from_numpy(dense)} if outlier else {}),
        group=patient,
        affine=_affine(chance.truth, shape, spacing),
        meta={"window": (-1000.0, 400.0), "modality": "CT", **_person(seed, index)}
        | ({} if outlier is None else {"planted": PLANTED if outlier else "none"}),
    )


def _person(seed: int, index: int) -> dict[str, int | str]:
    """Age in years and sex, from chance of their own."""
    rng = np.random.default_rng(np.random.SeedSequence([KINDS.index("volume"), seed, index, 78]))
    return {"age": int(np.clip(round(rng.normal(62, 14)), 18, 95)), "sex": "FM"[int(rng.integers(2))]}


def _consolidated(rng: np.random.Generator, labels: NDArray[np.uint8], hu: Array) -> NDArray[np.bool_]:
    """Fill most of one lung from below with the density of soft tissue, in place; returns where."""
    lung = labels == (2 + int(rng.integers(2)))
    height = np.broadcast_to(np.arange(labels.shape[2]), labels.shape)
    dense = lung & (height <= np.quantile(height[lung], rng.uniform(0.75, 0.9)))
    hu[dense] = 40
    return dense


def _trunk(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], Array]:
    """Labels and HU of a trunk from the kidneys to the collar bones; x to the left, y to the back, z upwards."""
    axes = [((np.arange(n, dtype=np.float32) + 0.5) / n - 0.5) * np.float32(e) for n, e in zip(shape, EXTENT)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    x = x + 4 * np.sin(y / 60 + np.float32(rng.uniform(0, 6))) + 3 * np.sin(z / 70 + np.float32(rng.uniform(0, 6)))
    y = y + 3 * np.sin(x / 55 + np.float32(rng.uniform(0, 6))) + 3 * np.sin(z / 60 + np.float32(rng.uniform(0, 6)))
    j = rng.normal(0, 1, 12).astype(np.float32)
    ball = lambda cx, cy, cz, a, b, c: ((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 + ((z - cz) / c) ** 2  # noqa: E731
    wide, deep = rng.uniform(148, 164), rng.uniform(98, 112)
    shoulder = 1 - 0.22 * np.clip((z - 90) / 75, 0, 1) ** 2
    trunk = np.abs(x / (wide * shoulder)) ** 2.5 + np.abs((y + 4) / (deep * shoulder)) ** 2.5
    dome_r, dome_l = -35 + 6 * j[0], -48 + 6 * j[0]  # the right dome of the diaphragm stands higher
    taper = np.sqrt(np.clip((150 - z) / 120, 0.01, 1))
    cage = np.abs(x / (wide - 30)) ** 2.3 + np.abs((y + 2) / (deep - 26)) ** 2.3 < taper
    over_r = z > dome_r - ((x + 65) ** 2 + (y + 5) ** 2) / 140
    over_l = z > dome_l - ((x - 65) ** 2 + (y + 5) ** 2) / 140
    tip = 0.30 * (z + 8)  # the apex of the heart points down, left and forward
    heart = ball(18 + 3 * j[1] - 1.2 * tip, -18 + 0.7 * tip, -8 + 4 * j[2], 52, 40, 54)
    column = (np.abs(x) < 27) & (y > 14)
    middle = (heart < 1.12) | (np.hypot((x - 4) / 27, (y + 6) / 34) < 1) & (z > -20)

    labels = np.zeros(shape, dtype=np.uint8)
    labels[trunk < 1] = 1
    below = (z <= dome_r + 4 - ((x + 65) ** 2 + (y + 5) ** 2) / 140) & (z > -125 + 0.25 * x)
    flank = np.abs(x / (wide - 26)) ** 2.3 + np.abs((y + 2) / (deep - 22)) ** 2.3 < 1
    lump = (ball(-72, -8, -80 + 5 * j[3], 112, 82, 78) < 1) & (x < 45) & ~((np.abs(x) < 27) & (y > 5))
    labels[below & flank & lump] = 5
    labels[flank & (ball(86 + 4 * j[4], 40, -85 + 5 * j[5], 26, 38, 44) < 1)] = 6
    lungs = cage & ~middle & ~column
    labels[lungs & over_r & (x < 0)] = 2
    labels[lungs & over_l & (x >= 0)] = 3
    labels[(heart < 1) & (labels != 5)] = 4
    disc = 1 - 0.12 * (np.cos(2 * np.pi * z / 32) < -0.75)
    spine = np.minimum(np.hypot(x, y - 58) / (20 * disc), np.hypot(x / 0.5, (y - 84) / 1.6) / 14)
    labels[spine < 1] = 7
    bend = 20 - 8 * np.clip((-z - 60) / 80, 0, 1)
    descending = (np.hypot(x - bend, y - 32) < 12 + j[6]) & (z < 70)
    arch = (np.abs(np.hypot(y - 2, z - 70) - 30) < 12) & (np.abs(x - 12) < 12) & (z >= 70)
    ascending = (np.hypot(x - 6, y + 28) < 13) & (z < 72) & (z > 30)
    labels[descending | arch | ascending] = 8
    labels[trunk >= 1] = 0
    _tidy(labels)

    hu = np.asarray(HU, dtype=np.float32)[labels]
    hu[(labels == 4) & (heart > 0.62)] = 85  # the muscle around the blood
    hu[(labels == 4) & (np.abs(x - 18 + y + 18) < 8)] = 85
    fat = (labels == 1) & (trunk > 0.80 + 0.04 * j[7])
    hu[fat] = -100
    hu[(labels == 1) & flank & (z < -30) & (np.sin(x / 9 + j[8]) * np.sin(y / 8) * np.sin(z / 10) > 0.25)] = -80
    ring = np.abs(np.abs(x / (wide - 22)) ** 2.3 + np.abs((y + 2) / (deep - 18)) ** 2.3 - taper) < 0.07
    slope = z + 0.35 * np.abs(x) - 0.5 * (y + 2)
    hu[ring & (labels == 1) & (np.mod(slope, 30) < 9) & (z > -110)] = 600
    hu[(labels == 7) & (disc < 1)] = 110
    return labels, hu


def _tidy(labels: NDArray[np.uint8]) -> None:
    """Give what an organ's neighbours cut off from it back to the body, in place."""
    for organ in range(2, len(ORGANS)):
        pieces, n = label(labels == organ)
        if n > 1:
            largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
            labels[(pieces > 0) & (pieces != largest)] = 1


def _affine(
    rng: np.random.Generator, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> NDArray[np.float64]:
    """Voxel index to RAS+ mm: x to the left, y to the back, z up, tilted about x and z, centred near the origin."""
    tilt, turn = np.deg2rad(rng.uniform(-8, 8, 2))
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    axes = about_z @ about_x @ np.diag([-1.0, -1.0, 1.0]) @ np.diag(spacing)
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = rng.uniform(-40, 40, 3) - axes @ (np.asarray(shape) - 1) / 2
    return affine
