"""Grids that lie anyhow in the patient."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np

ORIENTATIONS = [
    "".join(pair[flip] for pair, flip in zip(order, flips))
    for order in permutations(("RL", "AP", "SI")) for flips in product((0, 1), repeat=3)
]  # fmt: skip


def oblique(letters: str, spacing: tuple[float, ...], angle: float, origin: tuple[float, ...]) -> np.ndarray:
    """An affine whose axes run roughly along ``letters``, turned by ``angle`` about an odd axis."""
    ornt = nib.orientations.axcodes2ornt(tuple(letters))
    axes = np.zeros((3, 3))
    for j, (to, sign) in enumerate(ornt):
        axes[int(to), j] = sign * spacing[j]
    k = np.array([[0, -0.5, 0.6], [0.5, 0, -0.62], [-0.6, 0.62, 0]])
    turn = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes
    affine[:3, 3] = origin
    return affine


def world(affine: np.ndarray, index: tuple[int, ...]) -> np.ndarray:
    return affine[:3, :3] @ np.asarray(index, float) + affine[:3, 3]
