"""How much of a map lies in which region.

For ``f(A) = |A|``, its positive part and its negative part (as a size), region ``r`` and the whole picture ``V``:
``mass = Σ_r f(A) / Σ_V f(A)``, ``mean = Σ_r f(A) / |r|``, ``enrichment = mass / (|r| / |V|)``. Mass follows volume;
enrichment is 1 where the map is indifferent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.core.attribution import Attribution
from pellucid.errors import InputError

PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda m: m.abs(),
    "positive_": lambda m: m.clamp(min=0),
    "negative_": lambda m: (-m).clamp(min=0),
}


def region_table(attribution: Attribution, regions: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """The measures of one map over regions of its case.

    Channels of a picture are summed before ``f``; several pictures are added up after it, so that one that speaks
    for and one that speaks against do not cancel.

    Args:
        attribution: with at least one image map; all have to be on the regions' grid.
        regions: name to mask ``(*spatial)``; everything that is not zero is inside.

    Returns:
        Rows ``region``, ``measure``, ``value``: ``mass``, ``mean``, ``enrichment``, the same with ``positive_`` and
        ``negative_``, ``signed_mean`` and ``signed_var`` of the map as it is (summed over pictures), and ``share``,
        the region's part of the picture. NaN where there is nothing to divide by: an empty region, or a map without
        that part.

    Raises:
        InputError: no image map, or a map and a mask on different grids.
    """
    maps = {name: attribution.spatial(name).double() for name in attribution.images}
    where = f"case {attribution.case_id}"
    if not maps:
        raise InputError(f"{where}: {attribution.method} made no map of an image, so regions have nothing to sum")
    rows = []
    for region, given in regions.items():
        mask = torch.as_tensor(given) != 0
        for name, m in maps.items():
            if m.shape != mask.shape:
                raise InputError(
                    f"{where}: mask {region!r} is {tuple(mask.shape)}, the map of {name!r} is {tuple(m.shape)}; "
                    "resample the mask to the map's grid (nearest neighbour)"
                )
        rows += [
            {"region": region, "measure": measure, "value": value} for measure, value in _measures(maps, mask).items()
        ]
    return rows


def _measures(maps: dict[str, Tensor], mask: Tensor) -> dict[str, float]:
    size, volume = int(mask.sum()), mask.numel()
    share = size / volume
    found: dict[str, float] = {}
    for part, f in PARTS.items():
        values = torch.stack([f(m) for m in maps.values()]).sum(0)
        inside, total = float(values[mask].sum()), float(values.sum())
        mass = _over(inside, total) if size else math.nan
        found |= {f"{part}mass": mass, f"{part}mean": _over(inside, size), f"{part}enrichment": _over(mass, share)}
    signed = torch.stack(list(maps.values())).sum(0)[mask]
    found["signed_mean"] = float(signed.mean()) if size else math.nan
    found["signed_var"] = float(signed.var(correction=0)) if size else math.nan
    return found | {"share": share}


def _over(value: float, by: float) -> float:
    return value / by if by > 0 else math.nan
