"""Parts of the input that come and go together: superpixels, cubes, label maps, columns, whole modalities."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite, log, prod

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.core.superpixels import superpixels
from pellucid.errors import UsageError, nearest

WAYS = ("superpixels", "supervoxels", "cubes", "blocks", "modality")
SEGMENTS = 64
COMPACTNESS = 0.1


@dataclass(frozen=True, eq=False)
class Groups:
    """A partition of a case's inputs into features, each with an id of its own.

    Attributes:
        labels: input name to int64 ids, ``(*spatial)`` for pictures (all channels go together) or ``(F,)``.
        names: the feature names; ``names[i]`` is feature ``i``.
    """

    labels: dict[str, Tensor]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


def partition(
    case: Case,
    inputs: tuple[str, ...],
    by: str = "blocks",
    *,
    side: int | None = None,
    segments: int = SEGMENTS,
    compactness: float = COMPACTNESS,
) -> Groups:
    """Split the named inputs into features, with ids from 0 on across all of them.

    Args:
        case: whose inputs.
        inputs: their names.
        by: how pictures are split (a table's columns are features singly, except by modality):
            ``"superpixels"`` or ``"supervoxels"``, SLIC, about ``segments`` of each picture, in millimetres;
            ``"cubes"``, about ``segments`` boxes of each picture, as near to cubes in millimetres as fits;
            ``"blocks"``, squares or cubes of ``side`` pixels, an eighth of the longest axis by default;
            ``"modality"``, each input is one feature;
            or the name of a region of the case, whose labels are the features.
        side: of a block, in pixels.
        segments: about how many superpixels or cubes.
        compactness: of superpixels, see :func:`pellucid.core.superpixels.superpixels`.

    Raises:
        UsageError: an option out of range, no such way or region, a region on another grid than an input.
    """
    check_split(side=side, segments=segments, compactness=compactness)
    if by not in WAYS and by not in case.regions:
        hint = nearest(by, (*WAYS, *case.regions))
        raise UsageError(
            f"case {case.id}: groups {by!r} is neither {', '.join(map(repr, WAYS))} nor one of its regions "
            f"({', '.join(case.regions) or 'none'})" + (f"; {hint}" if hint.startswith("did") else "")
        )
    labels: dict[str, Tensor] = {}
    names: list[str] = []
    for name in inputs:
        value = case.inputs[name]
        if by == "modality":
            ids = torch.zeros(value.shape[1:] if value.ndim > 1 else value.shape, dtype=torch.int64)
            new = [name]
        elif value.ndim == 1:
            ids = torch.arange(len(value))
            new = [f"{name}[{i}]" for i in range(len(value))]
        elif by in WAYS:
            shape, spacing = tuple(value.shape[1:]), _spacing(case, value)
            if by == "blocks":
                ids = _blocks(shape, side)
            elif by == "cubes":
                ids = cubes(shape, segments, spacing)
            else:
                ids = superpixels(value, segments=segments, compactness=compactness, spacing=spacing)
            word = {"blocks": "block", "cubes": "cube"}.get(by, "segment")
            new = [f"{name} {word} {i}" for i in range(int(ids.max()) + 1)]
        else:
            values, ids = torch.unique(_region(case, name, by), return_inverse=True)
            new = [f"{name} {by}={int(v)}" for v in values]
        labels[name] = ids + len(names)
        names += new
    return Groups(labels, tuple(names))


def check_split(*, side: int | None, segments: int, compactness: float) -> None:
    """Raise UsageError for options of :func:`partition` that are out of range."""
    if side is not None and side < 1:
        raise UsageError(f"side={side}: a block of {side} pixels has no inside; give 1 pixel or more")
    if segments < 1:
        raise UsageError(f"segments={segments}: give 1 or more")
    if not (isfinite(compactness) and compactness > 0):
        raise UsageError(f"compactness={compactness}: give a positive share of the picture's range, such as 0.1")


def cubes(shape: tuple[int, ...], segments: int, spacing: tuple[float, ...] | None = None) -> Tensor:
    """Ids ``(*shape)`` of boxes that cut every axis into equal parts, as near to cubes and to ``segments`` as fits."""
    extent = [n * s for n, s in zip(shape, spacing or (1.0,) * len(shape))]
    widest = max(extent)
    best: tuple[int, ...] = (1,) * len(shape)
    for step in range(1, 50 * segments + 1):  # one more cut of the longest axis at a time, in fiftieths
        width = widest / (step / 50) if step > 50 else widest
        parts = tuple(min(n, max(1, round(e / width))) for n, e in zip(shape, extent))
        if abs(log(prod(parts) / segments)) < abs(log(prod(best) / segments)):
            best = parts
        if prod(parts) >= min(2 * segments, prod(shape)):
            break
    ids = torch.zeros(shape, dtype=torch.int64)
    for axis, (length, count) in enumerate(zip(shape, best)):
        along = torch.div(torch.arange(length) * count, length, rounding_mode="floor")
        ids = ids * count + _along(along, axis, len(shape))
    return ids


def _blocks(shape: tuple[int, ...], side: int | None) -> Tensor:
    side = max(1, ceil(max(shape) / 8)) if side is None else side
    ids = torch.zeros(shape, dtype=torch.int64)
    for axis, length in enumerate(shape):
        along = torch.div(torch.arange(length), side, rounding_mode="floor")
        ids = ids * ceil(length / side) + _along(along, axis, len(shape))
    return ids


def _along(values: Tensor, axis: int, axes: int) -> Tensor:
    view = [1] * axes
    view[axis] = len(values)
    return values.view(view)


def _spacing(case: Case, value: Tensor) -> tuple[float, ...] | None:
    """The case's spacing is that of its first picture's grid; nothing is known of another grid."""
    return case.spacing if tuple(value.shape[1:]) == case.spatial else None


def _region(case: Case, name: str, region: str) -> Tensor:
    labels, shape = case.regions[region].to(torch.int64), tuple(case.inputs[name].shape[1:])
    if tuple(labels.shape) != shape:
        raise UsageError(
            f"case {case.id}: region {region!r} is {tuple(labels.shape)}, input {name!r} is {shape}; "
            "resample the input to the region's grid, or split by 'superpixels' or 'cubes'"
        )
    return labels
