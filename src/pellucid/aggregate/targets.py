"""The classes of a segmentation as targets on a label map: no class needs a volume of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.predictor import Predictor
from pellucid.core.target import Bound, RegionScore, Target, as_target
from pellucid.errors import UsageError

Slices = tuple[slice, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelTarget:
    """``Σ_v w · z_k(v)`` over the voxels that have a value in a label map.

    Attributes:
        index: ``k``.
        label: what a person reads.
        labels: ``(*spatial)``, shared between targets.
        value: of its voxels; None for all that are not zero.
        weight: ``w``: 1, or one over the number of voxels for the mean.
        voxels: how many there are.
        predicted: whether the region is the predicted one.
    """

    index: int
    label: str
    labels: Tensor
    value: int | None
    weight: float
    voxels: int
    predicted: bool

    def mask(self, slices: Slices = ()) -> Tensor:
        """Bool, of a part of the grid or of all of it."""
        part = self.labels[slices]
        return part != 0 if self.value is None else part == self.value

    def bound(self) -> Bound:
        """The target as the engine's objectives hold it."""
        mask = self.mask()
        weight = mask if self.weight == 1 else mask * self.weight
        label = f"{self.label} (predicted region)" if self.predicted else self.label
        return Bound(self.index, label, weight, () if self.voxels else ("empty_target",))


class LabelSeeds:
    """What the gradients of such targets start from, window by window."""

    def __init__(self, targets: Sequence[LabelTarget]) -> None:
        self.targets = targets
        self._present: dict[tuple[tuple[int, int], ...], list[int]] = {}

    def present(self, slices: Slices) -> list[int]:
        """The targets that have a voxel there."""
        key = tuple((s.start, s.stop) for s in slices)
        if key not in self._present:
            values = {id(t.labels): set(t.labels[slices].unique().tolist()) for t in _first(self.targets)}
            self._present[key] = [
                i for i, t in enumerate(self.targets)
                if (bool(values[id(t.labels)] - {0}) if t.value is None else t.value in values[id(t.labels)])
            ]  # fmt: skip
        return self._present[key]

    def channel(self, target: int) -> int:
        """``k``."""
        return self.targets[target].index

    def weight(self, target: int, slices: Slices) -> Tensor:
        """The weights there."""
        t = self.targets[target]
        return t.mask(slices) if t.weight == 1 else t.mask(slices) * t.weight


def wanted(predictor: Predictor, targets: Any) -> list[Target]:
    """The targets asked for: ``"all"`` is every class; else one or a list of what ``pc.explain`` takes.

    Raises:
        UsageError: none, one twice, or ``"all"`` of a model whose classes have no names.
    """
    if isinstance(targets, str) and targets == "all":
        if not predictor.classes:
            raise UsageError("targets='all': the model's classes have no names; give Predictor(classes=[…])")
        return [as_target(k, predictor) for k in range(len(predictor.classes))]
    many = list(targets) if isinstance(targets, Sequence) and not isinstance(targets, str) else [targets]
    if not many:
        raise UsageError("targets: name at least one class, or 'all'")
    return [as_target(t, predictor) for t in many]


def on_labels(
    predictor: Predictor, case: Case, targets: Sequence[Target], labels: Tensor
) -> list[LabelTarget] | None:
    """The targets on the predicted label map, or None where one needs more than that (the logits, or fresh regions)."""
    found: list[LabelTarget] = []
    counts: dict[int, Tensor] = {}
    for t in targets:
        if not isinstance(t, RegionScore) or t.on != "logit" or t.reduce == "probability_weighted" or t.refresh:
            return None
        k = _largest(predictor, labels) if t.k == "predicted" else predictor.class_index(t.k)
        value: int | None = predictor.label_of(k)
        where = labels
        if t.region == "image":
            where, value = torch.ones((), dtype=torch.int16).expand(labels.shape), None
        elif t.region == "truth":
            if not isinstance(case.truth, Tensor) or case.truth.ndim < 2:
                raise UsageError(f"case {case.id}: region 'truth' asked for, but the case has no true mask")
            where = case.truth
        elif t.region != "predicted":
            case.region(t.region)  # says which there are
            where, value = case.regions[t.region], None
        if id(where) not in counts and value is not None:
            counts[id(where)] = torch.bincount(where.clamp(min=0).flatten().long(), minlength=value + 1)
        if value is None:
            voxels = int((where != 0).sum())
        else:
            of = counts[id(where)]
            voxels = int(of[value]) if value < len(of) else 0
        name = predictor.class_name(k)
        label = name if t.region == "predicted" else f"{name} ({ {'image': 'whole image'}.get(t.region, t.region)})"
        weight = 1 / max(voxels, 1) if t.reduce == "mean" else 1.0
        found.append(
            LabelTarget(
                index=k, label=label, labels=where, value=value, weight=weight, voxels=voxels,
                predicted=t.region == "predicted",
            )
        )  # fmt: skip
    _check_names(found)
    return found


def _check_names(targets: Sequence[LabelTarget]) -> None:
    names = [t.label for t in targets]
    twice = [n for n in names if names.count(n) > 1]
    if twice:
        raise UsageError(f"targets: {twice[0]!r} is asked for twice; its rows could not be told apart")


def _largest(predictor: Predictor, labels: Tensor) -> int:
    """The class that ``"predicted"`` is: the largest but the background, as the predictor has it."""
    if len(predictor.classes) <= 1:
        return 0
    counts = torch.bincount(labels.flatten().long(), minlength=len(predictor.classes))
    counts[0] = 0
    return int(counts.argmax()) if int(counts.sum()) else 1


def _first(targets: Sequence[LabelTarget]) -> list[LabelTarget]:
    return list({id(t.labels): t for t in targets}.values())
