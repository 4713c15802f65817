"""Where the windows of a volume lie, what each counts, and how a volume is cut into them: MONAI's own plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.core.windows import Windows
from pellucid.errors import InputError

Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Window:
    """One window.

    Attributes:
        number: its place among all windows of the volume.
        padded: where it lies in the padded volume.
        volume: what it covers of the volume itself.
        inner: where that part lies within the window.
    """

    number: int
    padded: Slices
    volume: Slices
    inner: Slices


@dataclass(frozen=True)
class Row:
    """The windows that begin at one plane of the first spatial axis.

    Attributes:
        start, stop: planes of the padded volume.
        low, high: planes of the volume itself.
        windows: in MONAI's order.
    """

    start: int
    stop: int
    low: int
    high: int
    windows: tuple[Window, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """The windows of a volume of one shape.

    Attributes:
        shape: of the volume, ``(*spatial)``.
        roi: of a window.
        before, after: voxels put around the volume along each axis, where it is smaller than a window.
        rows: of windows, along the first spatial axis.
        importance: ``(*roi)``, the weight ``w`` of each voxel of a window.
        options: of the windows.
    """

    shape: tuple[int, ...]
    roi: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    rows: tuple[Row, ...]
    importance: Tensor
    options: Windows

    @staticmethod
    def of(options: Windows, shape: tuple[int, ...], *, device: torch.device, dtype: torch.dtype) -> Plan:
        """MONAI's windows, importance map and padding for a volume of this shape.

        Raises:
            InputError: another number of axes; a volume that is too small to be mirrored.
        """
        if len(shape) != len(options.roi):
            raise InputError(
                f"windows: roi={options.roi} has {len(options.roi)} axes, the input has {len(shape)} {shape}; "
                "give one length per spatial axis"
            )
        from monai.data.utils import compute_importance_map, dense_patch_slices
        from monai.inferers.utils import _get_scan_interval

        roi, axes = options.roi, len(shape)
        missing = tuple(max(r - n, 0) for r, n in zip(roi, shape))
        before = tuple(m // 2 for m in missing)
        after = tuple(m - b for m, b in zip(missing, before))
        if options.padding == "reflect" and any(max(b, a) >= n for b, a, n in zip(before, after, shape)):
            raise InputError(
                f"windows: a volume of {shape} is too small to be mirrored to {roi} (padding='reflect'); "
                "use padding='replicate' or 'constant', or a smaller roi"
            )
        padded = tuple(max(r, n) for r, n in zip(roi, shape))
        steps = _get_scan_interval(padded, roi, axes, (options.overlap,) * axes)
        found = [
            tuple(slice(int(s.start), int(s.stop)) for s in slices)
            for slices in dense_patch_slices(padded, roi, steps)
        ]
        weight = compute_importance_map(
            roi, mode=options.blend, sigma_scale=options.sigma, device=device, dtype=dtype
        )
        return Plan(shape, roi, before, after, _rows(found, shape, before), torch.as_tensor(weight), options)

    @staticmethod
    def whole(shape: tuple[int, ...], *, device: torch.device, dtype: torch.dtype) -> Plan:
        """The volume as its own and only window."""
        none = (0,) * len(shape)
        rows = _rows([tuple(slice(0, n) for n in shape)], shape, none)
        return Plan(
            shape, shape, none, none, rows, torch.ones(shape, device=device, dtype=dtype), Windows(roi=shape)
        )

    @property
    def count(self) -> int:
        """How many windows there are."""
        return sum(len(r.windows) for r in self.rows)

    @property
    def pads(self) -> bool:
        """Whether the volume is smaller than a window along some axis."""
        return any(self.before) or any(self.after)

    @cached_property
    def total(self) -> Tensor:
        """``(*padded)``, the sum ``Σ w`` of the windows over each voxel."""
        total = self.importance.new_zeros(tuple(n + b + a for n, b, a in zip(self.shape, self.before, self.after)))
        for row in self.rows:
            for window in row.windows:
                total[window.padded] += self.importance
        return total

    def share(self, window: Window) -> Tensor:
        """``w / Σ w`` of a window, ``(*roi)``."""
        return self.importance / self.total[window.padded]

    def crop(self) -> Slices:
        """The volume within the padded volume."""
        return tuple(slice(b, b + n) for b, n in zip(self.before, self.shape))

    def place(self, part: Tensor, window: Window) -> Tensor:
        """Values of the volume under a window, ``(…, *covered)``, as ``(…, *roi)``; zero outside of the volume."""
        if not self.pads:
            return part
        out = part.new_zeros(*part.shape[: part.ndim - len(self.roi)], *self.roi)
        where: Any = (..., *window.inner)
        out[where] = part
        return out

    def pad(self, planes: Tensor) -> Tensor:
        """A row's planes ``(m, C, *planes)`` with what lies around the volume."""
        if not self.pads:
            return planes
        sizes = [n for b, a in zip(reversed(self.before), reversed(self.after)) for n in (b, a)]
        if self.options.padding == "constant":
            return F.pad(planes, sizes, value=self.options.value)
        return F.pad(planes, sizes, mode=self.options.padding)

    def unpad(self, gradient: Tensor) -> Tensor:
        """The gradient to a row's padded planes ``(m, C, …)`` as one to the planes: the adjoint of :meth:`pad`."""
        if not self.pads:
            return gradient
        where: Any = (..., *(slice(b, g - a) for b, a, g in zip(self.before, self.after, gradient.shape[2:])))
        if self.options.padding == "constant":
            return gradient[where]
        with torch.enable_grad():
            planes = torch.zeros_like(gradient[where]).requires_grad_()
            (out,) = torch.autograd.grad(self.pad(planes), planes, gradient)
        return torch.as_tensor(out)

    def cut(self, planes: Tensor, window: Window) -> Tensor:
        """A window ``(…, *roi)`` out of its row's padded planes ``(…, *planes)``."""
        where: Any = (..., slice(None), *window.padded[1:])
        return planes[where]


def spatial(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The one grid of all picture inputs, from input name to shape without the batch axis.

    Raises:
        InputError: pictures on several grids, or none.
    """
    grids = {name: tuple(s[1:]) for name, s in shapes.items() if len(s) > 1}
    if not grids:
        raise InputError("windows: the case has tables only; a table is not cut into windows")
    if len(set(grids.values())) > 1:
        raise InputError(
            "windows: all pictures of a case are cut alike, so they have to be on one grid; here they are "
            + ", ".join(f"{k!r} {v}" for k, v in grids.items())
            + "; resample them to one"
        )
    return next(iter(grids.values()))


def _rows(found: list[Slices], shape: tuple[int, ...], before: tuple[int, ...]) -> tuple[Row, ...]:
    rows: dict[Any, list[Window]] = {}
    for number, padded in enumerate(found):
        volume = tuple(
            slice(max(s.start - b, 0), min(s.stop - b, n)) for s, b, n in zip(padded, before, shape)
        )
        inner = tuple(
            slice(v.start + b - s.start, v.stop + b - s.start) for v, b, s in zip(volume, before, padded)
        )
        rows.setdefault((padded[0].start, padded[0].stop), []).append(Window(number, padded, volume, inner))
    return tuple(
        Row(start, stop, w[0].volume[0].start, w[0].volume[0].stop, tuple(w))
        for (start, stop), w in sorted(rows.items())
    )
