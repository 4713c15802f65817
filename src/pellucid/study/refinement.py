"""What a refinement changed, as plain values and arrays, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid.core.attribution import Attribution

ARRAY, MAPS, NUMBER = "__array__", "__maps_of__", "__number__"


def packed(a: Attribution, beside: Sequence[Attribution]) -> tuple[Any, list[Tensor]]:
    """The refinement of a map as plain values, in which ``{"__array__": i}`` stands for the i-th of the tensors.

    Maps that are those of an earlier Attribution of the case (the unmasked ones of a masked map are) are not kept
    twice: ``{"__maps_of__": i}`` is its place among ``beside``.
    """
    arrays: list[Tensor] = []
    earlier = list(beside)[: next((i for i, b in enumerate(beside) if b is a), len(beside))]

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            arrays.append(value)
            return {ARRAY: len(arrays) - 1}
        if isinstance(value, Mapping):
            same = next((i for i, b in enumerate(earlier) if _same(value, b.maps)), None)
            return {MAPS: same} if same is not None else {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        if isinstance(value, float) and not math.isfinite(value):
            return {NUMBER: str(value)}  # JSON has no word for it
        return value

    return plain(a.refinement), arrays


def unpacked(value: Any, beside: Sequence[Attribution], array: Callable[[int], Tensor]) -> Any:
    """What :func:`packed` packed.

    Args:
        value: plain values.
        beside: the Attributions before this one.
        array: the i-th tensor.
    """
    if isinstance(value, Mapping):
        if ARRAY in value:
            return array(int(value[ARRAY]))
        if MAPS in value:
            return dict(beside[int(value[MAPS])].maps)
        if NUMBER in value:
            return float(value[NUMBER])
        return {k: unpacked(v, beside, array) for k, v in value.items()}
    return [unpacked(v, beside, array) for v in value] if isinstance(value, list) else value


def _same(value: Mapping[Any, Any], maps: Mapping[str, Tensor]) -> bool:
    """Whether these are those maps, to the last bit, NaN included."""
    return list(value) == list(maps) and all(
        isinstance(v, Tensor) and v.shape == m.shape and v.dtype == m.dtype
        and (v is m or (torch.equal(v.nan_to_num(), m.nan_to_num()) and torch.equal(v.isnan(), m.isnan())))
        for v, m in zip(value.values(), maps.values())
    )  # fmt: skip
