"""A series of CT slices as a volume on a grid of its own, or as some planes of it in a picture's channels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.core.geometry import Geometry
from pellucid.data.ct_volume import Preparation
from pellucid.data.pictures import resized, windowed
from pellucid.data.planes import slice_of
from pellucid.data.volume_cache import VolumeCache
from pellucid.io import Image


def prepared(
    folder: Path, how: Preparation, planes: int | None, size: tuple[int, ...] | None, cache: VolumeCache | None
) -> tuple[Tensor, dict[str, Any]]:
    """The scan as a model sees it, and a volume's ``geometry`` or the ``spacing`` of planes.

    Args:
        folder: of the series.
        how: it is prepared.
        planes: as many, evenly spaced, become channels; a volume if None.
        size: voxels along each axis, or pixels of a plane; as they are if None.
        cache: where it is kept; it is read from there if it is there.

    Raises:
        InputError: no single even series of CT slices.
    """
    file = None if cache is None else cache.path(folder.name, [f for f in folder.iterdir() if f.is_file()])
    ready = None if cache is None or file is None else cache.load(file)
    if ready is None:
        image = how.scan(folder)
        image = _volume(image, how, size) if planes is None else _planes(image, how, planes, size)
        grid = image.geometry
        facts: dict[str, Any] = {"spacing": image.spacing} if grid is None else {"geometry": grid.describe()}
        ready = {"ct": torch.from_numpy(image.array)}, facts
        if cache is not None and file is not None:
            cache.save(file, *ready)
            ready = cache.load(file) or ready  # mapped, so that the copy in memory can go
    tensors, facts = ready
    if "geometry" in facts:
        return tensors["ct"], {"geometry": Geometry.described(facts["geometry"])}
    return tensors["ct"], {"spacing": None if facts["spacing"] is None else tuple(facts["spacing"])}


def _volume(image: Image, how: Preparation, size: tuple[int, ...] | None) -> Image:
    array, _, grid = how.seen(image, None)
    return resized(replace(image, array=array, geometry=grid), size)


def _planes(image: Image, how: Preparation, n: int, size: tuple[int, ...] | None) -> Image:
    """``n`` axial planes as channels: each in the middle of one of ``n`` equal parts of the scan, from feet to head."""
    upright = image.reoriented("LPS")
    height = upright.spatial[2]
    cut = [slice_of(upright, min(height - 1, int((k + 0.5) * height / n)), plane="axial") for k in range(n)]
    return resized(windowed(replace(cut[0], array=np.concatenate([c.array for c in cut])), how.hu), size)
