"""A picture or volume as it was read: values, grid, and what may be said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.core.case import Case
from pellucid.core.geometry import Geometry
from pellucid.errors import InputError, UsageError
from pellucid.io.files import stem


@dataclass(frozen=True, eq=False, kw_only=True)
class Image:
    """One picture, volume or series of frames.

    Attributes:
        array: float32 ``(C, *spatial)`` in real units: Hounsfield units, or the grey values of the file.
            Pictures are ``(C, H, W)``; volumes ``(C, X, Y, Z)`` in NIfTI's order of axes, DICOM series too;
            frames of a film ``(C, T, H, W)``. ``meta["axes"]`` names the spatial axes.
        spacing: millimetres along each spatial axis, or None where the file does not say.
        geometry: where the voxels lie in the patient (volumes only).
        window: ``(low, high)``, the display window in the units of ``array``. For display alone: it has not been
            applied to the values.
        meta: facts that do not identify anybody: modality, bits, photometric interpretation, view, body part.
        source: the file or folder.
    """

    array: NDArray[np.float32]
    spacing: tuple[float, ...] | None = None
    geometry: Geometry | None = None
    window: tuple[float, float] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    source: Path | None = None

    def __post_init__(self) -> None:
        """Fill in the spacing from the geometry, and check that the grid fits the array."""
        array = np.ascontiguousarray(self.array, dtype=np.float32)
        if array.ndim not in (3, 4) or array.size == 0:
            raise InputError(
                f"{self.source}: holds an array {array.shape}; a picture is (C, H, W), a volume (C, X, Y, Z)"
            )
        object.__setattr__(self, "array", array)
        if self.geometry is not None:
            if self.geometry.shape != self.spatial:
                raise InputError(f"{self.source}: the grid is {self.geometry.shape}, the array {self.spatial}")
            object.__setattr__(self, "spacing", self.geometry.spacing)

    @property
    def spatial(self) -> tuple[int, ...]:
        """Lengths of the spatial axes."""
        return tuple(self.array.shape[1:])

    def reoriented(self, letters: str = "RAS") -> Image:
        """The volume with its axes flipped and permuted to ``letters``; ``geometry.restored`` undoes it.

        Raises:
            UsageError: a picture without a place in the patient, or letters that are no orientation.
        """
        if self.geometry is None:
            raise UsageError(
                f"{self.source}: has no place in the patient (no affine), so it cannot be turned to {letters!r}"
            )
        if len(letters) != 3 or any(len(set(letters) & set(pair)) != 1 for pair in ("RL", "AP", "SI")):
            raise UsageError(f"orientation {letters!r}: give one letter of each pair RL, AP, SI, such as 'RAS'")
        array, geometry = self.geometry.reoriented(self.array, letters)
        return replace(self, array=array, geometry=geometry, spacing=geometry.spacing)

    def to_case(self, *, id: str | None = None, name: str = "image", **fields: Any) -> Case:
        """A Case with this as its input ``name``; ``fields`` are Case's own (truth, regions, group, …).

        The id is the file's name without its suffix if None. ``meta`` keeps what the file said, and the window.
        """
        if id is None:
            if self.source is None:
                raise UsageError("this image was not read from a file; give to_case(id=…)")
            id = stem(self.source)
        meta = dict(self.meta) | ({"window": self.window} if self.window else {}) | dict(fields.pop("meta", {}))
        fields.setdefault("spacing", self.spacing)
        fields.setdefault("geometry", self.geometry)
        return Case(id=id, inputs={name: torch.from_numpy(self.array.copy())}, meta=meta, **fields)
