"""Where the voxels of a volume lie in the patient, and how to bring a map back to the source's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from pellucid.core.resample import resampled
from pellucid.errors import InputError, UsageError


@dataclass(frozen=True, eq=False)
class Geometry:
    """The grid of a volume in RAS+ millimetres (the NIfTI convention).

    Attributes:
        affine: ``(4, 4)`` float64, voxel index to millimetres, of the array as it is held.
        shape: the three axis lengths of the array as it is held.
        source_affine: the affine of the file; equal to ``affine`` unless reoriented, cropped or resampled.
        source_shape: the axis lengths in the file.
        crop: first voxel and shape of the piece of the source that is held (in the held orientation), or None. Of a
            resampled volume None: its affine says where it lies.
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

    def describe(self) -> dict[str, Any]:
        """Plain values, for files; :meth:`described` makes a Geometry of them again."""
        return {
            "affine": self.affine.tolist(), "shape": list(self.shape),
            "source_affine": None if self.source_affine is None else np.asarray(self.source_affine).tolist(),
            "source_shape": None if self.source_shape is None else list(self.source_shape),
            "crop": None if self.crop is None else [list(self.crop[0]), list(self.crop[1])],
        }  # fmt: skip

    @classmethod
    def described(cls, values: Mapping[str, Any]) -> Geometry:
        """The Geometry of plain values."""
        affine, shape, crop = values["source_affine"], values["source_shape"], values["crop"]
        return cls(
            np.asarray(values["affine"], np.float64), tuple(values["shape"]),
            None if affine is None else np.asarray(affine, np.float64), None if shape is None else tuple(shape),
            None if crop is None else (tuple(crop[0]), tuple(crop[1])),
        )  # fmt: skip

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
        if not self.keeps_voxels:
            return Geometry(affine, shape, self.source_affine, self.source_shape)
        if self.crop is not None:
            start = tuple(a + b for a, b in zip(start, self.crop[0]))
        return Geometry(affine, shape, self.source_affine, self.source_shape, crop=(tuple(start), tuple(shape)))

    def respaced(self, spacing: float | Sequence[float]) -> Geometry:
        """The grid with voxels of ``spacing`` mm along these axes, its middle where it was, as long as fits best.

        The same grid if that is its spacing already, to a thousandth.

        Raises:
            UsageError: a spacing that is not one positive number of millimetres, or three.
        """
        to = (float(spacing),) * 3 if isinstance(spacing, int | float) else tuple(float(s) for s in spacing)
        if len(to) != 3 or not all(np.isfinite(s) and s > 0 for s in to):
            raise UsageError(f"spacing={spacing!r}; give a positive number of millimetres, or three")
        factors = np.array(to) / self.spacing
        if np.abs(factors - 1).max() < 1e-3:
            return self
        shape = tuple(max(1, round(n / f)) for n, f in zip(self.shape, factors))
        step = np.diag([*factors, 1.0])
        step[:3, 3] = [((n - 1) - (m - 1) * f) / 2 for n, m, f in zip(self.shape, shape, factors)]
        return Geometry(self.affine @ step, shape, self.source_affine, self.source_shape)

    def apart(self, other: Geometry) -> float:
        """How far, in mm, the corners of two grids of one shape lie from each other at most."""
        corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(self.shape) - 1)
        apart = nib.affines.apply_affine(self.affine, corners) - nib.affines.apply_affine(other.affine, corners)
        return float(np.linalg.norm(apart, axis=1).max())

    @property
    def keeps_voxels(self) -> bool:
        """Whether each voxel is one of the source file's: turned, flipped, cropped, but not resampled."""
        step = np.linalg.inv(np.asarray(self.source_affine)) @ self.affine
        whole = np.round(step)
        if np.abs(np.linalg.det(whole[:3, :3])) != 1:
            return False
        # How far a voxel may be off at the far end of the volume, in voxels.
        return float((np.abs(step - whole)[:3] @ np.array([*self.shape, 1.0])).max()) < 0.05

    def restored(self, array: NDArray, *, background: float = 0.0) -> NDArray:
        """``array`` (last three axes spatial) on the grid of the source file, orientation and crop undone.

        A volume that was resampled is resampled back: whole numbers and bool by nearest neighbour, others linearly
        (so that a map's values are kept, and its sum grows or shrinks with the number of voxels).
        """
        if not self.keeps_voxels:
            assert self.source_affine is not None
            assert self.source_shape is not None
            return resampled(
                array, affine=self.affine, to_affine=self.source_affine, to_shape=self.source_shape,
                labels=array.dtype.kind != "f", background=background,
            )  # fmt: skip
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
