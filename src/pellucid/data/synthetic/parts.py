"""What the three tasks share: one patient's sources of chance, names, and the token of the confounder variant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.data.synthetic.canvas import Array

TASKS = ("classification", "regression", "segmentation", "volume")
KINDS = (*TASKS, "dermoscopy", "slices")  # their order seeds them
LETTER = np.array([[1, 1, 1, 0], [1, 0, 0, 1], [1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 1]], dtype=np.float32)


@dataclass(frozen=True)
class Chance:
    """One generator for each thing that is drawn, so that leaving the signal out changes nothing else."""

    truth: np.random.Generator
    anatomy: np.random.Generator
    signal: np.random.Generator
    noise: np.random.Generator
    token: np.random.Generator

    @classmethod
    def of(cls, task: str, seed: int, index: int) -> Chance:
        """Case ``index`` depends on these three alone, not on how many cases there are."""
        parts = np.random.SeedSequence([KINDS.index(task), seed, index]).spawn(5)
        return cls(*(np.random.default_rng(p) for p in parts))


def balanced_label(task: str, seed: int, index: int) -> int:
    """0 or 1: of every two cases in a row one is 1, which one is chance. So any even number is half and half."""
    pair = np.random.SeedSequence([KINDS.index(task), seed, index // 2, 77])
    return int(np.random.default_rng(pair).integers(2)) ^ (index % 2)


def name_of(task: str, seed: int, index: int) -> tuple[str, str]:
    """The case's id and its group (the patient)."""
    return f"{task}-{seed}-{index:04d}", f"patient-{task}-{seed}-{index:04d}"


def token_mask(size: int) -> Array:
    """The place of the token, a letter R in the upper left corner, ``(size, size)``, 0 or 1."""
    unit = max(1, round(size / 56))
    letter = np.kron(LETTER, np.ones((unit, unit), dtype=np.float32))
    mask = np.zeros((size, size), dtype=np.float32)
    start = max(1, round(size * 0.03))
    mask[start : start + letter.shape[0], start : start + letter.shape[1]] = letter
    return mask


def stamp(pictures: list[Array], strength: float) -> NDArray[np.bool_]:
    """Lay the token over each picture, in place, at ``strength`` in [0, 1]; returns its mask (bool)."""
    mask = token_mask(pictures[0].shape[0]) > 0
    for picture in pictures:
        picture[mask] = np.maximum(picture[mask], np.float32(0.95 * strength))
    return mask
