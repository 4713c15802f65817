"""Superpixels and supervoxels: SLIC, with distances in millimetres."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# An anisotropic volume is refined along its thick axes until its voxels are cubes, at most to so many times its size,
# and SLIC (two seconds for a million voxels) sees no more voxels than this.
_GROWTH, _LARGEST = 4.0, 2**21


def superpixels(x: Tensor, *, segments: int, compactness: float, spacing: tuple[float, ...] | None = None) -> Tensor:
    """Int64 ids ``(*spatial)``, 0 to the number of segments − 1, of a picture or volume ``(C, *spatial)``.

    SLIC starts from seeds on a grid of voxels, so its segments are as anisotropic as the voxels whatever spacing it is
    told. Here it runs on a grid of cubic voxels, about two million at most, and its labels are brought back.
    Deterministic. Source: achanta2012slic.

    Args:
        x: the picture, all channels together.
        segments: about how many.
        compactness: the difference in intensity, as a share of the picture's range, that weighs as much as the
            width of a segment. It is raised where noise would leave less than half of the segments.
        spacing: millimetres along each axis; equal if None.
    """
    from skimage.segmentation import slic

    shape = tuple(x.shape[1:])
    low, high = x.min(), x.max()
    unit = (x - low) / (high - low) if high > low else torch.zeros_like(x)
    grid = cubic_grid(shape, spacing)
    if grid != shape:
        unit = F.interpolate(unit[None], grid, mode="bilinear" if len(shape) == 2 else "trilinear")[0]
    picture = unit.double().numpy()
    asked = segments
    for _ in range(20):
        found = slic(
            picture, n_segments=asked, compactness=compactness, channel_axis=0, convert2lab=False, start_label=0
        )
        labels = torch.from_numpy(np.asarray(found, dtype=np.int64))
        if grid != shape:
            labels = F.interpolate(labels[None, None].double(), shape, mode="nearest-exact")[0, 0].long()
        values, ids = torch.unique(labels, return_inverse=True)
        if len(values) > max(1.5 * segments, 2) and asked > 1:  # the seeds' steps are whole: many in a small picture
            asked = max(1, int(asked / 1.5))
        elif len(values) < min(segments, ids.numel()) / 2:  # noise frays the segments, and SLIC melts the shreds
            compactness *= 2
        else:
            break
    return ids


def cubic_grid(shape: tuple[int, ...], spacing: tuple[float, ...] | None) -> tuple[int, ...]:
    """A grid over the same extent whose voxels are as nearly cubes as its size allows."""
    steps = np.ones(len(shape))
    if spacing is not None and max(spacing) > 1.05 * min(spacing):
        steps = np.asarray(spacing) / min(spacing)
    size = float(steps.prod()) * prod(shape)
    most = min(_GROWTH * prod(shape), _LARGEST)
    if size > most:
        steps = steps / (size / most) ** (1 / len(shape))
    return tuple(max(1, round(n * s)) for n, s in zip(shape, steps.tolist()))
