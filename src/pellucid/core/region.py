"""Parts of the input that come and go together: blocks, label maps, columns, whole modalities."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from pellucid.core.case import Case
from pellucid.errors import UsageError


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


def partition(case: Case, inputs: tuple[str, ...], by: str = "blocks", *, side: int | None = None) -> Groups:
    """Split the named inputs into features.

    Args:
        case: whose inputs.
        inputs: their names.
        by: ``"modality"`` (each input is one feature); ``"blocks"`` (squares or cubes of ``side`` pixels, an eighth
            of the longest axis by default; a table's columns singly); or the name of a region of the case whose
            labels are the features (a table's columns singly).
        side: of a block, in pixels.

    Raises:
        UsageError: a side under 1, no such region.
    """
    labels: dict[str, Tensor] = {}
    names: list[str] = []
    for name in inputs:
        value = case.inputs[name]
        if by == "modality":
            labels[name] = torch.full(value.shape[1:] if value.ndim > 1 else value.shape, len(names))
            names.append(name)
        elif value.ndim == 1:
            labels[name] = torch.arange(len(names), len(names) + len(value))
            names += [f"{name}[{i}]" for i in range(len(value))]
        elif by == "blocks":
            ids = _blocks(tuple(value.shape[1:]), side)
            labels[name] = ids + len(names)
            names += [f"{name} block {i}" for i in range(int(ids.max()) + 1)]
        else:
            if by not in case.regions:
                raise UsageError(
                    f"case {case.id}: groups {by!r} is neither 'blocks', 'modality' nor one of its regions "
                    f"({', '.join(case.regions) or 'none'})"
                )
            values, ids = torch.unique(case.regions[by].to(torch.int64), return_inverse=True)
            labels[name] = ids + len(names)
            names += [f"{name} {by}={int(v)}" for v in values]
    return Groups(labels, tuple(names))


def _blocks(shape: tuple[int, ...], side: int | None) -> Tensor:
    side = max(1, ceil(max(shape) / 8)) if side is None else side
    if side < 1:
        raise UsageError(f"a block of {side} pixels has no inside; give 1 or more")
    ids = torch.zeros(shape, dtype=torch.int64)
    for axis, length in enumerate(shape):
        along = torch.div(torch.arange(length), side, rounding_mode="floor")
        view = [1] * len(shape)
        view[axis] = length
        ids = ids * ceil(length / side) + along.view(view)
    return ids
