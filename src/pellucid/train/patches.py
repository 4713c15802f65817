"""Patches of volumes to train on: cut where the classes are, padded where the volume ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pellucid.core.windows import Windows
from pellucid.engine.windows import Plan
from pellucid.errors import UsageError
from pellucid.train.data import TRUTH

PLACES = 2000
"""Voxels of a class among which a patch's centre is drawn, spread evenly over all that a case has of it."""


class Patches:
    """Cuts patches out of the pictures and the mask of a case, by MONAI's draw of their centres.

    A class is drawn, each of those that the case has with the same chance, the background too; then a voxel of it,
    which is the patch's centre as far as the border allows it (:class:`monai.transforms.RandCropByLabelClasses`). A
    volume that is smaller than the patch along an axis is padded there as the windows are, its mask with 0.

    Args:
        size: of a patch, ``(*spatial)``.
        number: of patches of a case in an epoch.
        windows: how a volume is padded.

    Raises:
        UsageError: numbers below 1, or another number of axes than the windows have.
    """

    def __init__(self, size: Sequence[int], *, number: int, windows: Windows) -> None:
        self.size, self.number = tuple(size), number
        if len(self.size) not in (2, 3) or any(isinstance(n, bool) or n < 1 for n in self.size):
            raise UsageError(f"patch is {list(self.size)}; give two or three positive whole numbers, one per axis")
        if number < 1:
            raise UsageError(f"patches is {number}; give at least 1 per case and epoch")
        if len(windows.roi) != len(self.size):
            raise UsageError(
                f"patch {list(self.size)} has {len(self.size)} axes, the windows {list(windows.roi)} have "
                f"{len(windows.roi)}; give both one length per spatial axis"
            )
        self.windows = replace(windows, roi=self.size)
        self._places: dict[int, list[NDArray[np.int64]]] = {}
        self._plans: dict[tuple[int, ...], Plan] = {}

    def drawn(self, case: Mapping[str, Tensor], index: int, generator: torch.Generator) -> dict[str, Tensor]:
        """A patch of case number ``index``; what has no spatial axes stays as it is."""
        from monai.transforms.utils import generate_label_classes_crop_centers

        # MONAI draws from NumPy's generator: one of its own for every patch, so that a training can be resumed here.
        chance = np.random.RandomState(int(torch.randint(2**32, (), generator=generator)))
        shape = tuple(case[TRUTH].shape)
        (center,) = generate_label_classes_crop_centers(
            self.size, 1, shape, self._of(case[TRUTH], index), None, chance, allow_smaller=True, warn=False
        )
        return self._cut(case, center)

    def middle(self, case: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The patch in the middle of a case."""
        return self._cut(case, tuple(n // 2 for n in case[TRUTH].shape))

    def _of(self, mask: Tensor, index: int) -> list[NDArray[np.int64]]:
        from monai.transforms.utils import map_classes_to_indices

        if index not in self._places:
            found = map_classes_to_indices(mask[None], int(mask.max()) + 1, max_samples_per_class=PLACES)
            self._places[index] = [np.asarray(f) for f in found]
        return self._places[index]

    def _cut(self, case: Mapping[str, Tensor], center: Sequence[int]) -> dict[str, Tensor]:
        shape = tuple(case[TRUTH].shape)
        size = [min(s, n) for s, n in zip(self.size, shape)]
        starts = [min(max(c - s // 2, 0), n - s) for c, s, n in zip(center, size, shape)]
        where: tuple[Any, ...] = (..., *(slice(a, a + s) for a, s in zip(starts, size)))
        cut = {k: v[where] if v.ndim > 1 else v for k, v in case.items()}
        if tuple(size) == self.size:
            return cut
        if tuple(size) not in self._plans:
            plan = Plan.of(self.windows, tuple(size), device=torch.device("cpu"), dtype=torch.float32)
            self._plans[tuple(size)] = plan
        plan = self._plans[tuple(size)]
        sides = [n for b, a in zip(reversed(plan.before), reversed(plan.after)) for n in (b, a)]
        padded = {k: plan.pad(v[None])[0] if v.ndim > 1 else v for k, v in cut.items() if k != TRUTH}
        return padded | {TRUTH: F.pad(cut[TRUTH], sides)}
