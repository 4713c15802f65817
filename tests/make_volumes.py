"""Miniatures of TotalSegmentator's data set in its published layout (version 2), drawn: no patient is in them.

The organs are those of the synthetic volumes; the lungs and the spine are cut into pieces so that there is something to
join. A structure that a scan does not show has an empty mask, as in the published data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pellucid.data.synthetic import ORGANS, make

PARTS = ("train", "train", "val", "test")
STRUCTURES = (
    "lung_upper_lobe_left", "lung_lower_lobe_left", "lung_upper_lobe_right", "lung_middle_lobe_right",
    "lung_lower_lobe_right", "heart", "liver", "spleen", "aorta", "vertebrae_L1", "vertebrae_T12", "vertebrae_T11",
    "trachea",
)  # fmt: skip


def make_totalsegmentator(
    root: str | Path,
    *,
    n: int = 4,
    size: int = 24,
    grid: Literal["published", "oblique"] = "published",
    parts: Sequence[str] = PARTS,
    seed: int = 0,
) -> Path:
    """Write ``n`` scans of as many patients: ``s0000/ct.nii.gz``, ``s0000/segmentations/….nii.gz``, ``meta.csv``.

    Args:
        root: the folder; made.
        n: scans.
        size: voxels from left to right; three quarters from front to back, half from bottom to top.
        grid: ``published``: RAS, 1.5 mm, so that the bodies are small ones. ``oblique``: bodies of full size on a
            tilted LPS grid, whose voxels are 360 / size mm wide and not cubes.
        parts: of the published split, in turn.
        seed: of the drawing.

    Returns:
        ``root``.
    """
    root = Path(root)
    rows = []
    for k, case in enumerate(make("volume", n=n, size=size, seed=seed)):
        id = f"s{k:04d}"
        hu = np.round(case.inputs["ct"][0].numpy()).astype(np.int16)
        organs = case.regions["organs"].numpy()
        affine = np.asarray(case.affine)
        if grid == "published":
            hu, organs = hu[::-1, ::-1], organs[::-1, ::-1]
            affine = np.diag([1.5, 1.5, 1.5, 1.0])
            affine[:3, 3] = -0.75 * np.array(hu.shape)
        write(hu, affine, root / id / "ct.nii.gz")
        up = 1 if affine[2, 2] > 0 else -1
        for name in STRUCTURES:
            write(_structure(organs[..., ::up], name)[..., ::up], affine, root / id / "segmentations" / f"{name}.nii.gz")
        rows.append({
            "image_id": id, "age": 30 + 7 * k, "gender": "fm"[k % 2], "institute": "ABC"[k % 3],
            "study_type": "ct thorax", "split": parts[k % len(parts)], "manufacturer": "siemens", "scanner_model": "",
            "kvp": 120.0, "pathology": "no_pathology", "pathology_location": "",
        })  # fmt: skip
    pd.DataFrame(rows).to_csv(root / "meta.csv", sep=";", index=False, encoding="utf-8-sig")
    return root


def write(array: NDArray, affine: NDArray, path: Path) -> Path:
    """Write a volume as it is; bool as 0 and 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array.astype(np.uint8) if array.dtype == bool else array, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def _structure(organs: NDArray, name: str) -> NDArray:
    """The mask of a structure; the last axis runs upwards."""
    side = "right" if name.endswith("right") else "left"
    if name.startswith("lung_"):
        lung, pieces = organs == ORGANS.index(f"{side} lung"), ("lower", "middle", "upper")[:: 1 if side == "right" else 2]
        return _piece(lung, pieces.index(name.split("_")[1]), len(pieces))
    if name.startswith("vertebrae_"):
        return _piece(organs == ORGANS.index("spine"), ("L1", "T12", "T11").index(name.split("_")[1]), 3)
    return organs == ORGANS.index(name) if name in ORGANS else np.zeros(organs.shape, bool)


def _piece(mask: NDArray, k: int, n: int) -> NDArray:
    """The k-th of n pieces from below."""
    levels = np.flatnonzero(mask.any((0, 1)))
    keep = np.zeros(mask.shape[-1], bool)
    keep[np.array_split(levels, n)[k]] = True
    return mask & keep
