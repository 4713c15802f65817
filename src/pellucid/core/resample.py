"""Volumes on another grid: one way, for images, masks and maps alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import UsageError

# What the library interpolates; of the rest, whole numbers and floats go the way of the type named.
_TYPES = {"b": np.uint8, "f": np.float32, "u": np.int64, "i": np.int64}
_AS_THEY_ARE = ("float32", "float64", "uint8", "int16", "uint16", "int32", "int64")


def resampled(
    array: NDArray[Any],
    *,
    affine: NDArray[np.float64],
    to_affine: NDArray[np.float64],
    to_shape: tuple[int, ...],
    labels: bool,
    background: float = 0.0,
) -> NDArray[Any]:
    """``array`` on the voxels of another grid, however the two lie to each other: turned, oblique, sheared.

    A voxel of the new grid whose centre is in no voxel of the old one is ``background``. Between the centres of the
    outermost voxels and their edges the value is theirs. Nothing is smoothed first: on a coarser grid, linear
    interpolation reads up to eight neighbours of each new centre and skips what lies between.

    Args:
        array: ``(…, X, Y, Z)``; the last three axes are spatial.
        affine: of the array, ``(4, 4)``, voxel index to millimetres.
        to_affine: of the new grid.
        to_shape: of the new grid.
        labels: nearest neighbour, for masks and label maps; else linear.
        background: outside of the old grid.

    Returns:
        ``(…, *to_shape)``, of the array's type.

    Raises:
        UsageError: an array without three spatial axes, or of complex numbers.
    """
    if array.ndim < 3 or array.dtype.kind not in "biuf" or len(to_shape) != 3:
        raise UsageError(f"an array {array.shape} of {array.dtype} cannot be resampled; give real numbers (…, X, Y, Z)")
    import SimpleITK  # takes a while to import, and few calls come here

    # Index to index, in the library's order of axes (the last of ours first): so a sheared grid goes through as well,
    # which its own directions cannot hold.
    index = np.linalg.inv(affine) @ to_affine
    transform = SimpleITK.AffineTransform(3)
    transform.SetMatrix(index[:3, :3][::-1, ::-1].ravel().tolist())
    transform.SetTranslation(index[:3, 3][::-1].tolist())
    how = SimpleITK.ResampleImageFilter()
    how.SetSize([int(n) for n in to_shape[::-1]])
    how.SetTransform(transform)
    how.SetInterpolator(SimpleITK.sitkNearestNeighbor if labels else SimpleITK.sitkLinear)
    how.SetDefaultPixelValue(float(background))
    kind = array.dtype if array.dtype.name in _AS_THEY_ARE else np.dtype(_TYPES[array.dtype.kind])
    if not labels and kind.kind != "f":
        kind = np.dtype(np.float32)
    flat = array.reshape(-1, *array.shape[-3:])
    out = np.empty((len(flat), *to_shape), array.dtype)
    for k, values in enumerate(flat):
        image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values, dtype=kind))
        out[k] = SimpleITK.GetArrayFromImage(how.Execute(image))
    return out.reshape(*array.shape[:-3], *to_shape)
