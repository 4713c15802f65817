"""One patient's study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.core.geometry import Geometry
from pellucid.errors import InputError


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """One patient's study: what the model sees, and what is known about it.

    Values are in the image's own units (HU, [0, 1] grey, years); normalisation belongs to the Predictor.

    Attributes:
        id: unique in its data set.
        inputs: name to float32 tensor, ``(C, *spatial)`` for pictures and volumes, ``(F,)`` for tables.
        truth: a class index, a vector of 0/1 labels, a score, or an integer mask ``(*spatial)``; None if unknown.
        regions: name to mask ``(*spatial)``, bool, or an integer label map.
        group: what splits obey, normally the patient; the case's own id if None.
        spacing: millimetres per pixel or voxel along each spatial axis.
        affine: ``(4, 4)``, voxel index to RAS+ millimetres (volumes); gives ``spacing`` if that is None.
        meta: age, sex, view, display window and the like. Never written to logs.
        geometry: the volume's grid and that of its source file; made from ``affine`` if None.
        missing: names of inputs that this patient does not have. In ``inputs`` they are zeros of the right shape, which
            hold the place: no model is shown them, but its stand-in (:meth:`Predictor.stand_in`).

    Raises:
        InputError: a value that is not finite, an input without an axis, a region or mask on another grid; a missing
            input that is not in ``inputs``, or has values there; nothing but missing inputs.

    Example:
        >>> c = Case(id="p1", inputs={"ct": torch.zeros(1, 8, 8)}, truth=1, spacing=(0.7, 0.7))
        >>> c.spatial
        (8, 8)
    """

    id: str
    inputs: Mapping[str, Tensor]
    truth: Any = None
    regions: Mapping[str, Tensor] = field(default_factory=dict)
    group: str | None = None
    spacing: tuple[float, ...] | None = None
    affine: Any = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    geometry: Geometry | None = None
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Bring everything to tensors and check that it fits together."""
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("id", str(self.id))
        if not self.inputs:
            raise InputError(f"case {self.id}: no inputs; give at least one picture or table")
        put("inputs", {str(k): self._as_input(str(k), v) for k, v in self.inputs.items()})
        put("missing", self._as_missing(self.missing))
        put("group", self.id if self.group is None else str(self.group))
        spatial = self.spatial
        put("regions", {str(k): self._as_region(str(k), v, spatial) for k, v in self.regions.items()})
        put("truth", self._as_truth(self.truth))
        if self.geometry is None and self.affine is not None and len(spatial) == 3:
            put("geometry", Geometry(np.asarray(self.affine, float), spatial))
        if self.geometry is not None:
            if self.geometry.shape != spatial:
                raise InputError(
                    f"case {self.id}: the geometry is that of a {self.geometry.shape} volume, the input is {spatial}"
                )
            put("affine", self.geometry.affine)
            if self.spacing is None:
                put("spacing", self.geometry.spacing)
        if self.spacing is not None:
            spacing = tuple(float(s) for s in self.spacing)
            if len(spacing) != len(spatial) or not all(np.isfinite(s) and s > 0 for s in spacing):
                raise InputError(
                    f"case {self.id}: spacing {spacing} does not fit {len(spatial)} spatial axes; "
                    "give one positive number of millimetres per axis"
                )
            put("spacing", spacing)

    @property
    def spatial(self) -> tuple[int, ...]:
        """The spatial axes of the pictures (the first one's), empty if there are only tables."""
        for value in self.inputs.values():
            if value.ndim > 1:
                return tuple(value.shape[1:])
        return ()

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the inputs that have spatial axes."""
        return tuple(k for k, v in self.inputs.items() if v.ndim > 1)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tabular inputs."""
        return tuple(k for k, v in self.inputs.items() if v.ndim == 1)

    def replace(self, **changes: Any) -> Case:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def region(self, name: str, label: int | None = None) -> Tensor:
        """The boolean mask of a region; ``label`` picks one value of a label map.

        Raises:
            InputError: no such region.
        """
        if name not in self.regions:
            known = ", ".join(self.regions) or "none"
            raise InputError(f"case {self.id}: no region {name!r} (it has: {known}); pass it in Case(regions=…)")
        mask = self.regions[name]
        return mask == label if label is not None else mask != 0

    def _as_input(self, name: str, value: Any) -> Tensor:
        try:
            tensor = torch.as_tensor(np.asarray(value) if not isinstance(value, Tensor) else value)
        except (TypeError, ValueError) as error:
            raise InputError(f"case {self.id}: input {name!r} is not an array of numbers ({error})") from error
        if tensor.ndim == 0 or tensor.numel() == 0:
            raise InputError(
                f"case {self.id}: input {name!r} has shape {tuple(tensor.shape)}; "
                "a picture is (C, *spatial), a table (F,)"
            )
        if tensor.ndim == 2:
            raise InputError(
                f"case {self.id}: input {name!r} has shape {tuple(tensor.shape)}; a picture needs its channel "
                "axis first: (1, H, W). Use value[None]"
            )
        if tensor.is_complex():
            raise InputError(f"case {self.id}: input {name!r} is complex; take its magnitude")
        tensor = tensor.detach().to("cpu", torch.float64 if tensor.dtype == torch.float64 else torch.float32)
        tensor = tensor.to(torch.float32)
        # Without a picture of booleans for each of a hundred thousand cases; what is not finite shows in the extremes.
        if not all(torch.isfinite(end) for end in torch.aminmax(tensor)):
            bad = int((~torch.isfinite(tensor)).sum())
            raise InputError(
                f"case {self.id}: input {name!r} has {bad} values that are NaN or infinite; "
                "replace them before explaining"
            )
        return tensor

    def _as_missing(self, missing: Any) -> tuple[str, ...]:
        names = (missing,) if isinstance(missing, str) else tuple(str(n) for n in missing)
        for name in names:
            if name not in self.inputs:
                raise InputError(
                    f"case {self.id}: input {name!r} is said to be missing, and there is none of this name "
                    f"({', '.join(self.inputs)}); put zeros of its shape in inputs, to hold its place"
                )
            if self.inputs[name].any():
                raise InputError(
                    f"case {self.id}: input {name!r} is said to be missing, and has values; give zeros of its shape, "
                    "or take it out of missing"
                )
        if names and set(names) == set(self.inputs):
            raise InputError(f"case {self.id}: all its inputs are missing ({', '.join(names)}); leave the case out")
        return tuple(n for n in self.inputs if n in names)

    def _as_region(self, name: str, value: Any, spatial: tuple[int, ...]) -> Tensor:
        mask = torch.as_tensor(np.asarray(value) if not isinstance(value, Tensor) else value).detach().cpu()
        if mask.ndim == len(spatial) + 1 and mask.shape[0] == 1:
            mask = mask[0]
        if tuple(mask.shape) != spatial:
            raise InputError(
                f"case {self.id}: mask {name!r} is {tuple(mask.shape)}, the image is {spatial}; "
                "resample it to the image's grid (nearest neighbour)"
            )
        if mask.is_floating_point():
            if not torch.isfinite(mask).all():
                raise InputError(f"case {self.id}: mask {name!r} is not finite")
            if (mask != mask.round()).any():
                raise InputError(
                    f"case {self.id}: mask {name!r} has fractional values; threshold it first (mask > 0.5)"
                )
            mask = mask.to(torch.int64)
        return mask

    def _as_truth(self, truth: Any) -> Any:
        if truth is None or isinstance(truth, bool | int | str):
            return int(truth) if isinstance(truth, bool) else truth
        if isinstance(truth, float | np.floating):
            if not np.isfinite(truth):
                raise InputError(f"case {self.id}: truth is {truth}; leave it out (None) where it is unknown")
            return float(truth)
        if isinstance(truth, np.integer):
            return int(truth)
        tensor = torch.as_tensor(np.asarray(truth) if not isinstance(truth, Tensor) else truth).detach().cpu()
        if tensor.ndim == 0:
            return tensor.item()
        if tensor.ndim > 1:
            tensor = self._as_region("truth", tensor, self.spatial)
            # The labels of a cohort of whole volumes fill the memory; int16 holds them all.
            tensor = tensor if tensor.dtype == torch.int16 else tensor.to(torch.int64)
        elif not torch.isfinite(tensor.float()).all():
            raise InputError(f"case {self.id}: truth has NaN among its labels; leave the case's truth out")
        return tensor


def check_unique(cases: Sequence[Case]) -> None:
    """Raise InputError if two cases have the same id."""
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise InputError(f"case {case.id}: the id occurs twice; ids name the maps, so each has to be its own")
        seen.add(case.id)
