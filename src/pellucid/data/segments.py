"""A DICOM segmentation as the mask of its volume: one label map, on all of the volume's planes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pellucid.core.resample import resampled
from pellucid.errors import InputError
from pellucid.io import Image


def is_segmentation(image: Image) -> bool:
    """Whether it was read from a DICOM segmentation."""
    return "segments" in image.meta


def label_map_of(image: Image) -> Image:
    """The segments as one label map ``(1, X, Y, Z)``, numbered from 1 in their order in the file.

    Raises:
        InputError: two segments share a voxel, so that no label map holds both.
    """
    marked = image.array >= 0.5  # a fractional one holds probabilities or shares
    if (marked.sum(0) > 1).any():
        raise InputError(f"{image.source}: segments overlap and so make no label map; export each to its own file")
    numbers = np.arange(1, len(marked) + 1, dtype=np.float32)
    return replace(image, array=np.tensordot(numbers, marked.astype(np.float32), axes=1)[None])


def on_all_planes(mask: Image, volume: Image) -> Image:
    """The mask with the planes of its volume that its file leaves out, empty; as it is if its voxels are others.

    Both have their axes alike and a place in the patient.

    Raises:
        InputError: something is marked outside of the volume.
    """
    assert mask.geometry is not None
    assert volume.geometry is not None
    step = np.linalg.inv(volume.geometry.affine) @ mask.geometry.affine
    far = np.abs(step - np.round(step))[:3] @ np.array([*mask.spatial, 1.0])
    if mask.spatial == volume.spatial or far.max() > 0.05 or not np.array_equal(np.round(step)[:3, :3], np.eye(3)):
        return mask
    array = resampled(
        mask.array, affine=mask.geometry.affine, to_affine=volume.geometry.affine, to_shape=volume.spatial, labels=True
    )
    lost = int(np.count_nonzero(mask.array) - np.count_nonzero(array))
    if lost:
        raise InputError(f"{mask.source}: {lost} marked voxels lie outside of the volume; it is of another series")
    return replace(mask, array=array, geometry=volume.geometry)
