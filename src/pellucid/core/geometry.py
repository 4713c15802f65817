"""Where the voxels of a volume lie in the patient, and how to bring a map back to the source's grid."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from pellucid.errors import InputError


@dataclass(frozen=True, eq=False)
class Geometry:
    """The grid of a volume in RAS+ millimetres (the NIfTI convention).

    Attributes:
        affine: ``(4, 4)`` float64, voxel index to millimetres, of the array as it is held.
        shape: the three axis lengths of the array as it is held.
        source_affine: the affine of the file; equal to ``affine`` unless the volume was reoriented.
        source_shape: the axis lengths in the file.
        crop: first voxel and shape of the piece of the source that is held (in the held orientation), or None.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, ...]
    source_affine: NDArray[np.float64] | None = None
    source_shape: tuple[int, ...] | None = None
    crop: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def __post_init__(self) -> None:
        """Check the affine, and fill in the source where it is the same grid."""
        affine = np.asarray(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InputError(f"an affine is a finite (4, 4) matrix, not {affine.shape}")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise InputError("the affine is singular: two voxel axes point the same way or have no length")
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(s) for s in self.shape))
        if self.source_affine is None:
            object.__setattr__(self, "source_affine", affine)
            object.__setattr__(self, "source_shape", self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel edge lengths in millimetres, one per axis of the array."""
        return tuple(float(v) for v in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def orientation(self) -> str:
        """Three letters, the direction in which each axis grows: ``"RAS"`` is right, anterior, superior."""
        return "".join(nib.orientations.aff2axcodes(self.affine))

    def reoriented(self, array: NDArray, letters: str = "RAS") -> tuple[NDArray, Geometry]:
        """``array`` with its last three axes flipped and permuted to ``letters``, and its new geometry."""
        ornt = _between(self.orientation, letters)
        out = _apply(array, ornt)
        affine = self.affine @ nib.orientations.inv_ornt_aff(ornt, self.shape)
        shape = out.shape[-3:]
        return out, Geometry(affine, shape, self.source_affine, self.source_shape)

    def cropped(self, start: tuple[int, ...], shape: tuple[int, ...]) -> Geometry:
        """The geometry of ``array[start:start+shape]``; :meth:`restored` puts such a piece back."""
        affine = self.affine.copy()
        affine[:3, 3] = self.affine[:3, :3] @ np.asarray(start, float) + self.affine[:3, 3]
        if self.crop is not None:
            start = tuple(a + b for a, b in zip(start, self.crop[0]))
        return Geometry(affine, shape, self.source_affine, self.source_shape, crop=(tuple(start), tuple(shape)))

    def restored(self, array: NDArray, *, background: float = 0.0) -> NDArray:
        """``array`` (last three axes spatial) on the grid of the source file, orientation and crop undone."""
        source = Geometry(self.source_affine, self.source_shape)  # type: ignore[arg-type]
        ornt = _between(source.orientation, self.orientation)
        if self.crop is not None:
            start, shape = self.crop
            whole_shape = [0, 0, 0]
            for axis, (to, _) in enumerate(ornt):
                whole_shape[int(to)] = source.shape[axis]
            whole = np.full((*array.shape[:-3], *whole_shape), background, dtype=array.dtype)
            i, j, k = (slice(a, a + s) for a, s in zip(start, shape))
            whole[..., i, j, k] = array
            array = whole
        return _apply(array, _between(self.orientation, source.orientation))


def _between(start: str, end: str) -> NDArray:
    """nibabel's orientation transform from one set of letters to another."""
    return nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt(tuple(start)), nib.orientations.axcodes2ornt(tuple(end))
    )


def _apply(array: NDArray, ornt: NDArray) -> NDArray:
    """Apply an orientation transform to the last three axes."""
    lead = array.ndim - 3
    moved = np.moveaxis(array, range(lead), range(-lead, 0)) if lead else array
    out = nib.orientations.apply_orientation(moved, ornt)
    return np.ascontiguousarray(np.moveaxis(out, range(-lead, 0), range(lead)) if lead else out)
