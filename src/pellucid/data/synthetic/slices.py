"""Slices of calves, several of a patient: healthy, or with fat in one muscle; and their files as a study has them.

A patient's slices look alike (outline, fat, brightness, coil), so a split by slice would be rewarded for knowing the
patient: these data show what a split by patient is worth.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.core.case import Case
from pellucid.data.registry import DATASETS
from pellucid.data.synthetic import leg
from pellucid.data.synthetic.canvas import Array, cover, ellipse, paint, waves
from pellucid.data.synthetic.parts import Chance, balanced_label, name_of
from pellucid.errors import UsageError
from pellucid.io import write_png
from pellucid.io.files import atomic

CLASSES = ("healthy", "affected")
FATTY = 0.74  # brightness of a muscle that fat has replaced, a little under that of fat itself


@dataclass(frozen=True, eq=False)
class Slice:
    """One drawn slice.

    Attributes:
        id: unique name.
        group: the patient.
        label: 0 healthy, 1 affected.
        picture: ``(size, size)`` in [0, 1].
        leg: where the leg is, bool.
        lesion: the fat in the muscle, bool; nowhere in a healthy patient.
        muscles: number of the muscle, 0 where there is none.
        px: millimetres per pixel.
    """

    id: str
    group: str
    label: int
    picture: Array
    leg: NDArray[np.bool_]
    lesion: NDArray[np.bool_]
    muscles: NDArray[np.int64]
    px: float


@DATASETS.register("synthetic_slices")
def synthetic_slices(
    *, patients: int = 40, slices: int = 4, seed: int = 42, size: int = 224, extent: float = 1.0, plant: bool = True
) -> list[Case]:
    """Calf MRI, several slices a patient: healthy, or fat in one muscle. Groups are the patients.

    ``extent`` is how far the fat reaches: 1 is a patch in the muscle, 2 most of the muscle.
    """
    return [
        Case(
            id=s.id, group=s.group, truth=s.label, inputs={"image": torch.from_numpy(s.picture[None])},
            regions={k: torch.from_numpy(v) for k, v in
                     {"mask": s.leg, "muscles": s.muscles, **({"lesion": s.lesion} if s.label else {})}.items()},
            spacing=(s.px, s.px), meta={"class": CLASSES[s.label], "window": (0.0, 1.0), "modality": "MR"},
        )
        for s in drawn(patients=patients, slices=slices, seed=seed, size=size, extent=extent, plant=plant)
    ]  # fmt: skip


def write_slices(
    folder: str | Path,
    *,
    patients: int = 40,
    slices: int = 4,
    size: int = 224,
    seed: int = 42,
    extent: float = 1.0,
    plant: bool = True,
) -> Path:
    """Write the slices as a study has them, for ``load_dataset("mri_slices", folder)``; returns the folder.

    ``data.csv`` (``img_name;label;group``, label 0 healthy and 1 affected), ``images/``, ``mask/`` with the leg, and
    ``lesion/`` for the affected. Each picture is cut out around its leg, so no two have the same size. A slice depends
    on the seed, its patient and its number alone.

    Args:
        folder: made if need be; files of the same names are replaced.
        patients: every second one, on average, is affected.
        slices: of each patient.
        size: pixels along a side, before cutting out.
        seed: of all chance.
        extent: how far the fat reaches: 1 is a patch in the muscle, 2 most of the muscle.
        plant: False leaves the lesion out of the pictures; its masks stay.

    Raises:
        UsageError: numbers out of range.
        InputError: the folder cannot be written.
    """
    folder = Path(folder)
    rows: list[tuple[str, int, str]] = []
    for s in drawn(patients=patients, slices=slices, seed=seed, size=size, extent=extent, plant=plant):
        rows.append((f"{s.id}.png", s.label, s.group))
        cut = _around(s.leg)
        pictures = {"images": (255 * s.picture).round(), "mask": 255 * s.leg}
        pictures |= {"lesion": 255 * s.lesion} if s.label else {}
        for name, picture in pictures.items():
            write_png(picture[cut].astype(np.uint8), folder / name / rows[-1][0])
    text = io.StringIO()
    table = csv.writer(text, delimiter=";", lineterminator="\n")
    table.writerows([("img_name", "label", "group"), *rows])
    with atomic(folder / "data.csv") as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return folder


def drawn(*, patients: int, slices: int, seed: int, size: int, extent: float, plant: bool) -> Iterator[Slice]:
    """The slices, patient by patient.

    Raises:
        UsageError: numbers out of range.
    """
    if patients < 1 or slices < 1 or seed < 0:
        raise UsageError(f"patients={patients}, slices={slices}, seed={seed}: give 1 or more, and a seed of 0 or more")
    if not 0.5 <= extent <= 3:
        raise UsageError(f"extent {extent}: give a number from 0.5 to 3")
    if size < 32:
        raise UsageError(f"size {size}: below 32 pixels no muscle can be told from another; give 32 or more")
    for patient in range(patients):
        chance = Chance.of("slices", seed, patient)
        label = balanced_label("slices", seed, patient)
        who = leg.build(chance.anatomy)
        place = _place(chance.signal, who, extent)
        name, group = name_of("slices", seed, patient)
        for k in range(slices):
            height = (0.1 + 0.618 * k) % 1  # far apart, however many there are
            pose = (*chance.anatomy.normal(0, 2.0, 2), chance.anatomy.normal(0, 0.06))
            body = leg.draw(who, height, size, pose=pose)
            alpha = _fat(place, body) if label else np.zeros_like(body.t1)
            if plant:
                paint(body.t1, alpha, FATTY)
            picture = leg.scan(chance.noise, body.t1, who, body.canvas)
            yield Slice(
                f"{name}-{k}", group, label, picture, body.leg > 0.5, alpha > 0.25, body.numbers, body.canvas.px
            )


@dataclass(frozen=True)
class _Place:
    muscle: int
    shape: tuple[float, float, float, float, float]
    seed: int


def _place(rng: np.random.Generator, who: leg.Build, extent: float) -> _Place:
    """Which muscle, where in it, and of what size: the same in all slices of a patient."""
    muscle = int(rng.integers(len(leg.MUSCLES)))
    x, y, a, b, turn = who.muscles[muscle]
    offset = rng.uniform(-0.25, 0.25, 2)
    return _Place(
        muscle + 1,
        (x + a * offset[0], y + b * offset[1], *(extent * rng.uniform(9.0, 15.0, 2)), turn + rng.normal(0, 0.3)),
        int(rng.integers(2**31)),
    )


def _fat(place: _Place, body: leg.Leg) -> Array:
    """Opacity of the fat, ``(size, size)``: patchy, frayed at its edge, inside its muscle."""
    rng = np.random.default_rng(place.seed)
    c = body.canvas
    edge = ellipse(c.x, c.y, *place.shape) + 1.5 * waves(rng, c.x, c.y, wavelength=9.0)
    patchy = np.clip(0.75 + 0.25 * waves(rng, c.x, c.y, wavelength=4.5), 0.3, 1)
    return (cover(edge, c.px + 2.0) * patchy * body.muscle * (body.numbers == place.muscle)).astype(np.float32)


def _around(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns of a mask, and two pixels more."""
    ends = [np.flatnonzero(mask.any(axis)) for axis in (1, 0)]
    rows, columns = (slice(max(0, int(e[0]) - 2), int(e[-1]) + 3) for e in ends)
    return rows, columns
