"""A CT as a model sees it: checked, oriented, in a window of HU, on an even grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pellucid.core.geometry import Geometry
from pellucid.core.resample import resampled
from pellucid.data.body_box import body_box
from pellucid.errors import InputError, UsageError
from pellucid.io import Image, read

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How a scan is prepared, in this order: orientation, crop, window of HU, spacing.

    Attributes:
        orientation: of the axes, such as ``"RAS"``.
        crop: ``"body"``: to the box around the body; None: nothing is cut off.
        hu: ``(low, high)``: these become 0 and 1, what is beyond them is clipped; None keeps HU.
        spacing: millimetres, one number or three; None keeps the grid.
        nan: what stands in for NaN and infinite values, in HU; None refuses them.
    """

    orientation: str = "RAS"
    crop: Literal["body"] | None = None
    hu: tuple[float, float] | None = (-1024.0, 1024.0)
    spacing: float | tuple[float, ...] | None = 1.5
    nan: float | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            UsageError: one that is out of range.
        """
        if self.crop not in (None, "body"):
            raise UsageError(f"crop={self.crop!r}; give 'body', or leave it out")
        if self.hu is not None:
            hu = tuple(float(v) for v in self.hu)
            if len(hu) != 2 or not (np.isfinite(hu).all() and hu[0] < hu[1]):
                raise UsageError(f"hu={self.hu!r}; give the lower and the upper end of the window, in HU, or null")
            object.__setattr__(self, "hu", hu)
        if isinstance(self.spacing, Sequence):
            object.__setattr__(self, "spacing", tuple(float(s) for s in self.spacing))
        if self.nan is not None and not np.isfinite(self.nan):
            raise UsageError(f"nan={self.nan}: give a finite value in HU, such as -1024")

    def describe(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "orientation": self.orientation, "crop": self.crop, "hu": self.hu, "spacing": self.spacing, "nan": self.nan,
        }  # fmt: skip

    def shown(self, window: tuple[float, float]) -> tuple[float, float]:
        """A display window of HU in the units of the prepared scan."""
        if self.hu is None:
            return window
        low, high = self.hu
        return (window[0] - low) / (high - low), (window[1] - low) / (high - low)

    def scan(self, path: Path) -> Image:
        """The scan in HU, oriented, on the grid of its file.

        Raises:
            InputError: it cannot be read, is no single volume in grey, has values that are not finite and are not to
                be filled, or is the same everywhere.
        """
        image = read(path)
        if len(image.array) != 1 or image.geometry is None:
            raise InputError(f"{path}: a CT is one volume in grey with a place in the patient; export it as NIfTI")
        bad = int(np.count_nonzero(~np.isfinite(image.array)))
        if bad and self.nan is None:
            raise InputError(
                f"{path}: {bad} of its {image.array.size} values are NaN or infinite; correct the file, or set nan: to "
                "what shall stand there, such as -1024"
            )
        if bad:
            image = replace(image, array=np.where(np.isfinite(image.array), image.array, np.float32(self.nan or 0)))
        if float(image.array.min()) == float(image.array.max()):
            raise InputError(f"{path}: every voxel is {image.array.flat[0]:g}: the scan is empty; take it out")
        return image.reoriented(self.orientation)

    def seen(self, scan: Image, labels: Array | None) -> tuple[Array, Array | None, Geometry]:
        """The scan ``(1, X, Y, Z)`` and its labels ``(X, Y, Z)`` as a model sees them, and their grid.

        Args:
            scan: as :meth:`scan` gives it.
            labels: on its grid, if there are any.
        """
        hu, grid = scan.array, scan.geometry
        assert grid is not None
        if self.crop == "body":
            start, shape = body_box(hu[0])
            i, j, k = (slice(a, a + n) for a, n in zip(start, shape))
            hu, labels, grid = hu[:, i, j, k], None if labels is None else labels[i, j, k], grid.cropped(start, shape)
        if self.hu is not None:
            # The window comes first, so that metal of many thousand HU does not bleed into what lies beside it.
            low, high = self.hu
            hu = (np.clip(hu, low, high) - np.float32(low)) / np.float32(high - low)
        new = grid if self.spacing is None else grid.respaced(self.spacing)
        if new is not grid:
            there: dict[str, Any] = {"affine": grid.affine, "to_affine": new.affine, "to_shape": new.shape}
            hu = resampled(hu, labels=False, **there)
            labels = None if labels is None else resampled(labels, labels=True, **there)
        return hu, labels, new
